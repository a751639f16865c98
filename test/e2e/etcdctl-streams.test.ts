/**
 * etcdctl's commands that go on or wait, unmodified, on a three-node Althing: watch, lease, lock and elect print and exit as
 * they do on a three-node etcd, on the leader and on both followers.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { etcdctlVersion } from "./lib/etcdctl.ts";
import { type Shell, TwinClusters } from "./lib/etcdctl-twin.ts";
import { until } from "./lib/until.ts";

const places = [
  { place: 0, node: "the leader" },
  { place: 1, node: "a follower" },
  { place: 2, node: "the other follower" },
];

/** The store's revision, as a put of this script's own key gives it. */
async function revision(shell: Shell): Promise<number> {
  const { stdout } = await shell.run(["put", `${shell.prefix}mark`, "x", "-w", "json"]);
  return Number(/"revision":(\d+)/.exec(stdout)?.[1]);
}

/** Grants a lease and gives its id in etcdctl's notation. */
async function grant(shell: Shell, seconds: number): Promise<string> {
  const { stdout } = await shell.run(["lease", "grant", String(seconds)]);
  const id = /^lease ([0-9a-f]+) granted/.exec(stdout)?.[1];
  if (id === undefined) throw new Error(`Cannot find the lease in ${stdout}`);
  return id;
}

/**
 * A watch of etcdctl tells nobody when it is set up. So it begins at a revision of the past, whose event it prints at once: after
 * that line it is there.
 */
async function watches(shell: Shell): Promise<void> {
  const w = `${shell.prefix}w/`;
  const mark = await revision(shell);
  await shell.run(["put", `${w}a`, "1"]);
  await shell.run(["put", `${w}a`, "2"]);
  await shell.run(["put", `${w}b`, "1"]);

  const commands = [
    ["watch", `${w}a`, `--rev=${mark}`],
    ["watch", w, "--prefix", "--prev-kv", `--rev=${mark}`],
    ["watch", `${w}a`, `${w}c`, `--rev=${mark}`, "-w", "json"],
    ["watch", w, "--prefix", `--rev=${mark}`, "-w", "fields"],
    ["watch", w, "--prefix", `--rev=${mark}`, "--", "sh", "-c", "env | grep ^ETCD_WATCH_ | sort"],
    ["watch", "-i"],
  ];
  const running = commands.map((command) => shell.start(command));
  const [one, prefix, json, fields, exec, several] = running;
  if (!one || !prefix || !json || !fields || !exec || !several) throw new Error("Cannot find every watch");
  several.write(`watch ${w}a --rev=${mark}\n`);
  await several.lines(6);
  several.write(`watch --prev-kv --prefix --rev=${mark} ${w}b\n`);
  await several.lines(6 + 3);
  await Promise.all([one.lines(6), prefix.lines(11), fields.lines(4 + 3 * 7), exec.lines(3 * 7), json.lines(1)]);

  await shell.run(["put", `${w}a`, "3"]);
  await several.lines(12);
  await shell.run(["del", w, "--prefix"]); // two events of one revision
  await shell.run(["put", `${w}b`, "back"]);
  // a: 4 events, b: 3; a delete has an empty value, and a previous one where asked for
  await Promise.all([one.lines(12), several.lines(12 + 6 + 5), exec.lines(7 * 7), prefix.lines(7 * 3 + 4 * 2)]);
  await until("every event as fields", 10_000, () => (fields.stdout.includes("back") ? true : undefined));
  await until("every event as JSON", 10_000, () => (json.stdout.includes("YmFjaw==") ? true : undefined));

  for (const [i, watch] of running.entries()) {
    const command = commands[i] ?? [];
    const read = command.includes("json") ? eventsOfJson : command.includes("fields") ? eventsOfFields : undefined;
    await shell.end(watch, command, { code: -1, ...(i === 5 && { unordered: true }), ...(read && { read }) });
  }
  await shell.run(["watch"], { code: 128 });
  await shell.run(["watch", `${w}a`, "--prefix", "--rev=x"], { code: 1 });
  await shell.run(["watch", "-i"], { stdin: "fly away\n", code: 3 });
  await shell.run(["watch", "-i"], { stdin: `watch ${w}a --colour\n`, code: 128 });
}

/** Server and client may cut a stream into batches as time has it: the events of all batches, and of the headers the kind. */
function eventsOfJson(stdout: string): string {
  return (stdout.match(/\{("type":\d,)?"kv":\{[^}]*\}\}/g) ?? []).join("\n");
}

function eventsOfFields(stdout: string): string {
  return stdout.replace(/^"(ClusterID|MemberID|Revision|RaftTerm)" : .*\n/gm, "");
}

async function watchOfAFutureRevision(shell: Shell): Promise<void> {
  const w = `${shell.prefix}future`;
  const mark = await revision(shell);
  const command = ["watch", w, `--rev=${mark + 3}`];
  const later = shell.start(command);
  for (const value of ["1", "2", "3"]) await shell.run(["put", w, value]);
  await later.lines(3);
  await shell.end(later, command, { code: -1 });
}

/** etcd keeps a lease's keys in a map and gives them in no order at all. */
function keysSorted(stdout: string): string {
  const listed = stdout.replace(/(?<=keys\(\[)[^\]]*/, (keys) => keys.split(" ").sort().join(" "));
  const json = listed.replace(/(?<="keys":\[)[^\]]*/, (keys) => keys.split(",").sort().join(","));
  return json.replace(/("Key" : .*\n)+/g, (keys) => keys.split("\n").sort().join("\n"));
}

async function leases(shell: Shell): Promise<void> {
  const l = `${shell.prefix}l/`;
  const lease = await grant(shell, 600);
  const other = await grant(shell, 600);
  await shell.run(["lease", "grant", "300", "-w", "json"]);
  await shell.run(["put", `${l}a`, "1", `--lease=${lease}`]);
  await shell.run(["put", `${l}b`, "1", `--lease=${lease}`]);
  await shell.run(["put", `${l}c`, "1", `--lease=${other}`]);
  await shell.run(["get", `${l}a`, "-w", "json"]);
  await shell.run(["lease", "timetolive", lease]);
  await shell.run(["lease", "timetolive", lease, "--keys"], { read: keysSorted });
  await shell.run(["lease", "timetolive", lease, "--keys", "-w", "json"], { read: keysSorted });
  await shell.run(["lease", "timetolive", lease, "--keys", "-w", "fields"], { read: keysSorted });
  await shell.run(["lease", "list"], { unordered: true });
  await shell.run(["put", `${l}a`, "2", "--ignore-lease"]);
  await shell.run(["put", `${l}b`, "2"]); // no longer of the lease
  await shell.run(["put", `${l}c`, `--lease=${lease}`, "--ignore-value"]); // from one to the other
  await shell.run(["lease", "timetolive", lease, "--keys"], { read: keysSorted });
  await shell.run(["lease", "timetolive", other, "--keys"], { read: keysSorted });
  await shell.run(["lease", "keep-alive", "--once", lease]);
  await shell.run(["lease", "keep-alive", "--once", lease, "-w", "json"]);
  await shell.run(["lease", "keep-alive", "--once", lease, "-w", "fields"]);
  const alive = shell.start(["lease", "keep-alive", lease]);
  await alive.lines(1);
  await shell.end(alive, ["lease", "keep-alive", lease], { code: -1 });
  await shell.run(["lease", "revoke", lease]);
  await shell.run(["get", l, "--prefix"]);
  await shell.run(["lease", "revoke", other, "-w", "json"]);
  await shell.run(["lease", "revoke", other], { code: 1 });
  await shell.run(["lease", "timetolive", other, "--keys"], { read: keysSorted });
  await shell.run(["lease", "timetolive", other, "-w", "json"]);
  await shell.run(["lease", "keep-alive", "--once", other], { code: 2 });
  await shell.run(["lease", "keep-alive", other], { code: 0 });
  await shell.run(["put", `${l}d`, "1", `--lease=${other}`], { code: 1 });
  await shell.run(["lease", "revoke", "xyz"], { code: 128 });
  await shell.run(["lease", "revoke"], { code: 128 });
  await shell.run(["lease", "grant"], { code: 128 });
  await shell.run(["lease", "grant", "soon"], { code: 128 });
  await shell.run(["lease", "grant", "10000000000"], { code: 1 });
  await shell.run(["lease", "timetolive"], { code: 128 });
}

/** A lease of two seconds, the shortest that etcd gives with its defaults, and what it held; seen to go on every node. */
async function expiry(shell: Shell): Promise<void> {
  const key = `${shell.prefix}expires`;
  const lease = await grant(shell, 1);
  await shell.run(["put", key, "here", `--lease=${lease}`]);
  const mark = await revision(shell);
  const command = ["watch", key, "--prev-kv", `--rev=${mark - 1}`];
  const watch = shell.start(command);
  await watch.lines(3);
  const set = performance.now();
  await watch.lines(8);
  // Two seconds were granted; nobody waits a whole second more, nor gets less than what is left after the set-up.
  expect(performance.now() - set).toBeLessThan(5_000);
  await shell.end(watch, command, { code: -1 });
  await shell.run(["get", key]);
  await shell.run(["lease", "timetolive", lease]);
}

async function locks(shell: Shell): Promise<void> {
  const name = `${shell.prefix}lock`;
  const first = shell.start(["lock", name]);
  await first.lines(1);
  const second = shell.start(["lock", name, "--ttl=30"]);
  await until("the second in the queue", 10_000, async () => {
    const { stdout } = await shell.ctl.run(["get", name, "--prefix", "--keys-only"]);
    return stdout.trim().split(/\n+/).length === 2 ? true : undefined;
  });
  expect(second.stdout).toBe("");
  await shell.run(["get", name, "--prefix", "--keys-only", "--sort-by=CREATE"]);
  await shell.end(first, ["lock", name], { code: 0 });
  await second.lines(1);
  await shell.run(["get", name, "--prefix", "--keys-only"]);

  const third = shell.start(["lock", name, "sh", "--", "-c", "env | grep ^ETCD_LOCK_ | sort; exit 7"]);
  await until("the third in the queue", 10_000, async () => {
    const { stdout } = await shell.ctl.run(["get", name, "--prefix", "--keys-only"]);
    return stdout.trim().split(/\n+/).length === 2 ? true : undefined;
  });
  await shell.end(second, ["lock", name, "--ttl=30"], { code: 0 });
  await shell.end(third, ["lock", name, "sh", "…"], { code: 1, interrupt: false });
  await shell.run(["lock", name, "echo", "held"]);
  await shell.run(["get", name, "--prefix"]);
  await shell.run(["lock", name, "no-such-program"], { code: 1 });
  await shell.run(["get", name, "--prefix"]);
  await shell.run(["lock"], { code: 128 });
}

async function elections(shell: Shell): Promise<void> {
  const name = `${shell.prefix}election`;
  const first = shell.start(["elect", name, "one"]);
  await first.lines(2);
  const listener = shell.start(["elect", "--listen", name]);
  await listener.lines(2);
  const second = shell.start(["elect", name, "two"]);
  await until("the second in the queue", 10_000, async () => {
    const { stdout } = await shell.ctl.run(["get", name, "--prefix", "--keys-only"]);
    return stdout.trim().split(/\n+/).length === 2 ? true : undefined;
  });
  expect(second.stdout).toBe("");
  await shell.end(first, ["elect", name, "one"], { code: 0 });
  await second.lines(2);
  await listener.lines(4);
  await shell.run(["get", name, "--prefix"]);
  await shell.end(listener, ["elect", "--listen", name], { code: 0 });
  await shell.end(second, ["elect", name, "two"], { code: 0 });
  await shell.run(["get", name, "--prefix"]);
  await shell.run(["elect", name], { code: 128 });
  await shell.run(["elect"], { code: 128 });
}

describe(`etcdctl ${etcdctlVersion()} on Althing as on etcd`, () => {
  let clusters: TwinClusters;
  beforeAll(async () => {
    clusters = await TwinClusters.start();
  });
  afterAll(async () => {
    await clusters?.close();
  });

  const scripts = { watches, watchOfAFutureRevision, leases, expiry, locks, elections };
  for (const [name, script] of Object.entries(scripts)) {
    describe.each(places)("$node", ({ place }) => {
      it(name, async () => {
        await clusters.compare(place, script);
      });
    });
  }
});
