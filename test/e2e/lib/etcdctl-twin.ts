/**
 * The same `etcdctl` script on a real etcd and on Althing, three nodes each, against the leader and against every follower in
 * turn; what it printed and how it ended is compared command by command.
 *
 * Both clusters start empty and see the same writes in the same order, so revisions must be equal too. A script may run
 * three times, once a node: it keeps its keys under `shell.prefix`. It runs on both clusters at the same time.
 */
import { expect } from "vitest";
import { althingSpec } from "./althing-spec.ts";
import { Cluster, type ClusterNode, type ClusterSpec } from "./cluster.ts";
import { Etcdctl, type EtcdctlOptions, type EtcdctlResult, type RunningEtcdctl } from "./etcdctl.ts";
import { type DifferenceName, differences } from "./etcdctl-differences.ts";
import { Normal } from "./etcdctl-normal.ts";
import { etcdSpec } from "./etcd-spec.ts";
import { freePorts } from "./free-ports.ts";

export interface Entry {
  readonly command: string;
  readonly code: number | string;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

export interface ShellOptions extends EtcdctlOptions {
  /** The exit code that both must give. Default 0: a script that fails everywhere alike is not a pass. */
  readonly code?: number;
  /** Lines, and the parts of JSON, come in an order that etcd does not promise: compared sorted. */
  readonly unordered?: true;
  /** The command's arguments as they are recorded, where one of them is the id of a member. */
  readonly shown?: string;
  /** Puts stdout, ids and times already put aside, into a form to compare, where its cut into messages is a matter of time. */
  readonly read?: (stdout: string) => string;
  /** We mean to differ from etcd here, for the reason in the list of differences; each side is held to its own pattern. */
  readonly differs?: DifferenceName;
}

/** A script's view of one node. */
export class Shell {
  readonly make: "etcd" | "althing";
  readonly ctl: Etcdctl;
  /** Client addresses of all nodes, the one of this shell first. */
  readonly endpoints: readonly string[];
  /** Of this run's keys. */
  readonly prefix: string;
  readonly entries: Entry[] = [];
  readonly #normal: Normal;
  readonly #running: RunningEtcdctl[] = [];

  constructor(make: "etcd" | "althing", ctl: Etcdctl, normal: Normal, endpoints: readonly string[], prefix: string) {
    this.make = make;
    this.ctl = ctl;
    this.#normal = normal;
    this.endpoints = endpoints;
    this.prefix = prefix;
  }

  /** Runs, records, and gives what it printed. */
  async run(args: readonly string[], options: ShellOptions = {}): Promise<EtcdctlResult> {
    const result = await this.ctl.run(args, options);
    this.record(args, result, options);
    return result;
  }

  /** Starts a command that goes on, a watch say; it is recorded by `end`. */
  start(args: readonly string[]): RunningEtcdctl {
    const running = this.ctl.start(args);
    this.#running.push(running);
    return running;
  }

  /** Records a started command: interrupted as by Ctrl-C, or waited for. */
  async end(
    running: RunningEtcdctl,
    args: readonly string[],
    options: ShellOptions & { readonly interrupt?: boolean } = {},
  ): Promise<EtcdctlResult> {
    const result = (options.interrupt ?? true) ? await running.interrupt() : await running.finish();
    this.record(args, result, options);
    return result;
  }

  /** Ends what a failed script has left. */
  async close(): Promise<void> {
    await Promise.all(this.#running.map((running) => running.close()));
  }

  /** Adds what a command has printed to what is compared. */
  record(args: readonly string[], result: EtcdctlResult, options: ShellOptions): void {
    const command = options.shown ?? this.#normal.text(args.join(" "));
    const printed = this.#normal.text(result.stdout);
    const stdout = linesOf(options.read?.(printed) ?? printed, options);
    const stderr = linesOf(this.#normal.text(result.stderr), options);
    if (options.differs !== undefined) {
      const difference = differences[options.differs];
      const all = `exit ${result.code}\n${stdout.join("\n")}\n${stderr.join("\n")}`;
      expect(all, `${this.make}: ${command} (${difference.why})`).toMatch(difference[this.make]);
      this.entries.push({ command, code: `differs: ${options.differs}`, stdout: [], stderr: [] });
      return;
    }
    const { code = 0 } = options;
    expect
      .soft(result.code, `${this.make}: etcdctl ${command}\n${stdout.join("\n")}${stderr.join("\n")}`.slice(0, 1_000))
      .toBe(code);
    this.entries.push({ command, code: result.code, stdout, stderr });
  }
}

function linesOf(text: string, options: ShellOptions): readonly string[] {
  return options.unordered === true ? text.split(/\n|[[\]{}]+,?/).sort() : text.split("\n");
}

export class TwinClusters {
  readonly etcd: Cluster;
  readonly althing: Cluster;

  private constructor(etcd: Cluster, althing: Cluster) {
    this.etcd = etcd;
    this.althing = althing;
  }

  static async start(): Promise<TwinClusters> {
    const start = async (spec: ClusterSpec): Promise<Cluster> =>
      await Cluster.start(spec, { ports: await freePorts(6) });
    const etcd = await start(etcdNamedAlike);
    try {
      return new TwinClusters(etcd, await start(althingToldAddresses));
    } catch (error) {
      await etcd.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.etcd.close(), this.althing.close()]);
  }

  /** Runs the script on a node of each, the leaders (`place` 0) or the followers (1 and 2), and compares. */
  async compare(place: number, script: (shell: Shell) => Promise<void>): Promise<void> {
    const shells = await Promise.all([
      this.#shell("etcd", this.etcd, place),
      this.#shell("althing", this.althing, place),
    ]);
    try {
      const done = await Promise.allSettled(shells.map(script));
      const [theirs, ours] = shells;
      // A difference before the failure tells more than the failure does.
      const common = Math.min(theirs.entries.length, ours.entries.length);
      for (let i = 0; i < common; i++) expect(ours.entries[i]).toEqual(theirs.entries[i]);
      for (const one of done) if (one.status === "rejected") throw one.reason;
      expect(ours.entries).toEqual(theirs.entries);
      expect(ours.entries.length).toBeGreaterThan(0);
    } finally {
      await Promise.all(shells.map((shell) => shell.close()));
    }
  }

  async #shell(make: "etcd" | "althing", cluster: Cluster, place: number): Promise<Shell> {
    const leader = await cluster.ready();
    const ordered = [leader, ...cluster.nodes.filter((node) => node !== leader)];
    const node = ordered[place];
    if (node === undefined) throw new Error(`Cannot find place ${place}: there are ${ordered.length} nodes`);
    const endpoints = [node, ...ordered.filter((other) => other !== node)].map((one) => one.endpoint);
    return new Shell(make, new Etcdctl(node.endpoint), new Normal(names(ordered)), endpoints, `${place}/`);
  }
}

/** Althing, told every node's client address too: the ports of a test follow no rule from which it could tell them. */
const althing = althingSpec();
const althingToldAddresses: ClusterSpec = {
  ...althing,
  command(self, all, peerAddress) {
    const command = althing.command(self, all, peerAddress);
    const members = all.map((to) => `${to.id}=${peerAddress(to)}@${to.host}:${to.clientPort}`);
    const at = command.args.indexOf("--initial-cluster") + 1;
    return { ...command, args: command.args.with(at, members.join(",")) };
  },
};

/** etcd with our names for its nodes. */
const etcdNamedAlike: ClusterSpec = {
  ...etcdSpec,
  command(self, all, peerAddress) {
    const command = etcdSpec.command(self, all, peerAddress);
    return {
      ...command,
      args: command.args.map((arg) =>
        /^--(name|initial-cluster)=/.test(arg) ? arg.replaceAll(/(?<=[=,])n(?=\d)/g, "node-") : arg,
      ),
    };
  },
};

/** The nodes' addresses and names, by their place in the order. */
function names(ordered: readonly ClusterNode[]): ReadonlyMap<string, string> {
  const known = new Map<string, string>();
  for (const [place, { plan, endpoint }] of ordered.entries()) {
    known.set(`node-${plan.id}`, `<name ${place}>`);
    known.set(endpoint, `<client address ${place}>`);
    known.set(`${plan.host}:${plan.peerPort}`, `<peer address ${place}>`);
  }
  return known;
}
