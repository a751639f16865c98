/**
 * The reference page of invariants, gathered from the headers of the modules that keep them, each with the tests that would
 * notice if it were broken. What the headers say is the truth; the tests stand here.
 */
import { posix } from "node:path";

export const invariantsPagePath = "docs/reference/invariants.md";

export interface Invariant {
  /** `R3`; unique in its module. */
  readonly number: string;
  readonly text: string;
}

/** Parts of the product in the order of the page, by the folder's beginning. A longer one stands before a shorter one. */
const chapters: readonly (readonly [folder: string, title: string])[] = [
  ["consensus/raft", "Raft"],
  ["consensus/paxos", "Paxos"],
  ["consensus", "Elections and quorums"],
  ["group", "Groups"],
  ["storage", "The log and the engine"],
  ["node", "The node"],
  ["coordination", "etcd's data model"],
  ["host", "Node.js"],
  ["doors", "Doors"],
  ["cli", "The command line"],
  ["sim", "The simulator"],
];

const scenarios = (...names: readonly string[]): readonly string[] =>
  names.map((name) => `test/scenario/raft/${name}.txt`);
const safety = "test/scenario/safety.ts";
const simulated = "test/sim/group-faults.test.ts";
const seeds = "test/sim/group-seeds.test.ts";

/**
 * Tests by what they watch over: one invariant (`group/replica.ts A1`), a module, or a folder. The nearest counts. A module
 * without a row has the test beside it.
 */
export const witnesses: Readonly<Record<string, readonly string[]>> = {
  "consensus/raft": [safety, "test/paper/raft.test.ts", "test/scenario/scenario.test.ts", seeds],
  "consensus/raft R1": [
    safety,
    "test/paper/raft.test.ts",
    ...scenarios("class12-crash-during-a-vote", "class08-lost-vote-still-binds"),
  ],
  "consensus/raft R2": [safety, "src/consensus/raft/durability.test.ts", ...scenarios("class12-no-ack-before-durable")],
  "consensus/raft R3": [safety, ...scenarios("class01-no-commit-by-counting")],
  "consensus/raft R4": [safety, ...scenarios("class09-old-append-cuts-nothing")],
  "consensus/raft R5": [
    safety,
    ...scenarios("class03-no-read-before-own-commit", "class04-fresh-read-context", "class02-read-needs-a-majority"),
  ],
  "consensus/raft R6": [
    safety,
    ...scenarios(
      "class07-change-waits-for-the-own-term",
      "class07-configuration-rolls-back",
      "class07-joint-needs-both-halves",
    ),
  ],
  "consensus/raft R7": [
    safety,
    ...scenarios("class08-damaged-node-does-not-vote", "class13-repair-waits-for-what-was-acknowledged"),
  ],
  "consensus/raft R8": [safety, "src/group/replica.test.ts"],
  "consensus/raft R9": [...scenarios("class08-wiped-disk-is-a-stranger"), "test/sim/group-members.test.ts"],
  "consensus/raft/log.ts": ["src/consensus/raft/log.test.ts", safety],
  "consensus/raft/durability.ts": [
    "src/consensus/raft/durability.test.ts",
    ...scenarios("class11-late-completion-of-a-cut-entry"),
  ],
  "consensus/raft/reads.ts": ["src/consensus/raft/reads.test.ts", ...scenarios("class04-fresh-read-context")],
  "consensus/paxos": ["test/conformance/core-fuzz.test.ts"],
  "consensus/contract": [
    "src/consensus/contract/election.test.ts",
    ...scenarios("class06-prevote-with-lagging-terms", "class15-bridge", "checkquorum-cut-leader-steps-down"),
  ],
  "consensus/quorum": ["src/consensus/quorum/quorum.test.ts"],
  group: ["src/group/group.test.ts", simulated, seeds],
  "group/sessions.ts": ["src/group/sessions.test.ts", simulated],
  "group/replica.ts": ["src/group/replica.test.ts", simulated],
  "group/proposer.ts": ["src/group/proposer.test.ts", simulated],
  "group/read-gate.ts": ["src/group/read-gate.test.ts", simulated],
  "group/peers.ts": ["src/group/peers.test.ts", ...scenarios("class08-wiped-disk-is-a-stranger")],
  "group/membership.ts": ["src/group/membership.test.ts", "test/sim/group-members.test.ts"],
  "group/membership.ts M1": ["test/e2e/faults-lost-disk.test.ts", "test/sim/group-members.test.ts"],
  "group/membership.ts M2": [
    "src/group/membership.test.ts",
    "test/sim/group-members.test.ts",
    "test/e2e/cli-backup.test.ts",
  ],
  "group/snapshot-transfer.ts": ["src/group/snapshot-transfer.test.ts", "test/sim/group-snapshots.test.ts"],
  "storage/wal": ["src/storage/wal/wal-crash.test.ts", "src/storage/wal/wal-rot.test.ts", "test/sim/wal.test.ts"],
  "storage/wal/segment-files.ts": ["src/storage/wal/wal.test.ts", "src/storage/wal/wal-crash.test.ts"],
  "storage/engine": ["src/storage/engine/memory-engine.test.ts"],
  node: ["src/node/data-folder.test.ts", "src/node/foundation.test.ts"],
  coordination: ["src/coordination/store.test.ts", "src/coordination/coordination.test.ts"],
  "coordination/watch-hub.ts": ["src/coordination/watch-hub.test.ts", "test/e2e/etcdctl-streams.test.ts"],
  "coordination/lessor.ts": ["src/coordination/lessor.test.ts"],
  host: ["src/host/node-network.test.ts"],
  "host/lmdb-engine.ts": [
    "src/host/lmdb-engine.test.ts",
    "src/host/lmdb-damage.test.ts",
    "src/host/lmdb-conformance.test.ts",
  ],
  "host/node-disk.ts": ["src/host/node-disk.test.ts"],
  "host/lock-file.ts": ["src/host/node-disk.test.ts"],
  doors: ["src/doors/grpc/grpc-server.test.ts", "src/doors/door.test.ts"],
  cli: ["src/cli/grpc/client.test.ts"],
  "cli/backup": ["test/e2e/cli-backup.test.ts"],
  "cli/commands": ["test/e2e/cli-cluster.test.ts"],
  "cli/demo": ["test/e2e/cli-dev.test.ts"],
  "cli/dev": ["test/e2e/cli-dev.test.ts"],
  "cli/simulation": ["test/e2e/cli-sim.test.ts"],
  sim: ["test/sim/determinism.test.ts", "src/sim/world.test.ts"],
  "sim/checkers": ["src/sim/checkers/linearizability.test.ts"],
};

/** The numbered invariants of a module's comments, in the order in which they stand there. */
export function invariantsOf(text: string): readonly Invariant[] {
  const found: { number: string; text: string }[] = [];
  for (const [comment] of text.matchAll(/\/\*\*[\s\S]*?\*\//g)) {
    let open: { number: string; text: string } | undefined;
    for (const line of comment.split("\n")) {
      const first = /^\s*\*\s+(?:- )?([A-Z]{1,2}\d{1,2})\.\s+(\S.*?)(?:\s*\*\/)?$/.exec(line);
      const more = /^\s*\*\s{3,}(\S.*?)(?:\s*\*\/)?$/.exec(line);
      if (first !== null) {
        open = { number: first[1] ?? "", text: first[2] ?? "" };
        found.push(open);
      } else if (more !== null && open !== undefined) {
        open.text += ` ${more[1] ?? ""}`;
      } else {
        open = undefined;
      }
    }
  }
  return found;
}

/** Modules with invariants, by path without `src/`. `tree`: path from the root → text. */
export function modulesWithInvariants(tree: ReadonlyMap<string, string>): ReadonlyMap<string, readonly Invariant[]> {
  const found = new Map<string, readonly Invariant[]>();
  for (const [path, text] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!/^src\/.*\.ts$/.test(path) || /\.test\.ts$|\/testing\//.test(path)) continue;
    const invariants = invariantsOf(text);
    if (invariants.length > 0) found.set(path.slice("src/".length), invariants);
  }
  return found;
}

/** The tests that watch over an invariant: the nearest row, and the test beside the module. */
export function testsOf(module: string, number: string, tree: ReadonlyMap<string, string>): readonly string[] {
  const beside = `src/${module.replace(/\.ts$/, ".test.ts")}`;
  const found = new Set(tree.has(beside) ? [beside] : []);
  for (let at = module; at !== "."; at = posix.dirname(at)) {
    const named = witnesses[`${at} ${number}`];
    if (named !== undefined) return [...found, ...named.filter((test) => !found.has(test))];
  }
  for (let at = module; at !== "."; at = posix.dirname(at)) {
    const row = witnesses[at];
    if (row !== undefined) return [...found, ...row.filter((test) => !found.has(test))];
  }
  return [...found];
}

/** The page's text, with a final line feed. */
export function invariantsPage(tree: ReadonlyMap<string, string>): string {
  const modules = modulesWithInvariants(tree);
  const lines = [
    "# Invariants",
    "",
    "<!-- Written by scripts/generate-invariants.ts from the headers in src/; a test compares the two. -->",
    "",
    "What always holds, by the module that keeps it, in the words of its header. Numbers are local to a folder; assertions, tests",
    "and failures cite them. Behind each stand the tests that would notice if it were broken; whatever breaks one of the first five",
    "chapters also shows in [simulated runs](../guide/simulate.md) and [torture](../reliability.md#torture).",
  ];
  const chapterOf = (module: string): string =>
    chapters.find(([folder]) => module.startsWith(`${folder}/`))?.[1] ?? "Everything else";
  const titles = [...chapters.map(([, title]) => title), "Everything else"];
  for (const title of titles) {
    const own = [...modules].filter(([module]) => chapterOf(module) === title);
    if (own.length > 0) lines.push("", `## ${title}`);
    for (const [module, invariants] of own) {
      lines.push("", `### \`${module}\``, "");
      for (const { number, text } of invariants) {
        const tests = testsOf(module, number, tree).map((path) => `[${posix.basename(path)}](../../${path})`);
        lines.push(`- **${number}.** ${text}${tests.length === 0 ? "" : ` *${tests.join(", ")}*`}`);
      }
    }
  }
  return `${lines.join("\n")}\n`;
}
