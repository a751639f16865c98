/**
 * The command line's grammar: every command with its flags, and where its code lives. A command's module is imported when
 * the command runs, never for `--help`; this file therefore imports only commander, the words that flags may have, and what
 * is needed to report an error.
 */
import { Command, CommanderError, Option } from "commander";
import { consensusEngines } from "../config/node-config.ts";
import {
  type ClientOptions,
  type CommandContext,
  type CommandResult,
  createOutput,
  endWithReader,
  type GlobalOptions,
  runCommand,
} from "./context.ts";
import { exitCodes, exitCodesHelp } from "./exit-codes.ts";
import { CliFailure } from "./failure.ts";
import { hint } from "./invocation.ts";
import { duration, hexId, wholeNumber } from "./parse.ts";
import { VERSION } from "./version.ts";
import type { BackupOptions } from "./commands/backup.ts";
import type { DemoOptions } from "./commands/demo.ts";
import type { DevOptions } from "./commands/dev.ts";
import type { DoctorOptions } from "./commands/doctor.ts";
import type { ElectOptions } from "./commands/elect.ts";
import type { DelOptions, GetOptions, PutOptions, TxnOptions } from "./commands/kv.ts";
import type { GrantOptions, KeepAliveOptions, TtlOptions } from "./commands/lease.ts";
import type { LockOptions } from "./commands/lock.ts";
import type { MemberAddOptions, MemberUpdateOptions } from "./commands/member.ts";
import type { NodeFlags } from "./commands/node.ts";
import type { RestoreOptions } from "./commands/restore.ts";
import type { SimOptions } from "./commands/sim.ts";
import type { WatchOptions } from "./commands/watch.ts";

/** Parses the arguments (without `node` and the script), runs the command, and leaves the exit code in the process. */
export async function main(argv: readonly string[]): Promise<void> {
  endWithReader();
  const program = createProgram();
  try {
    await program.parseAsync(helpAsFlag(program, commonFlagsLast(argv)), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return; // --help, --version
    process.exitCode = exitCodes.usage;
    if (error.code === "commander.help") return; // the group's help stands on stderr already
    createOutput({ json: argv.includes("--json") }).failure(usageFailure(program, argv, error));
  }
}

/** `althing --json status` means `althing status --json`; nothing moves behind a `--`. */
export function commonFlagsLast(argv: readonly string[]): string[] {
  const first = argv.findIndex((word) => !["--json", "-q", "--quiet"].includes(word));
  if (first <= 0) return [...argv];
  const rest = argv.slice(first);
  const end = rest.indexOf("--");
  rest.splice(end === -1 ? rest.length : end, 0, ...argv.slice(0, first));
  return rest;
}

/**
 * `althing help kv get` and `althing kv help get` mean `althing kv get --help`. Words that name no command stay as they are,
 * without the flag, so that they are refused like any unknown command.
 */
export function helpAsFlag(program: Command, argv: readonly string[]): string[] {
  const at = argv.indexOf("help");
  if (at === -1) return [...argv];
  const before = argv.slice(0, at);
  const group = before.reduce<Command | undefined>((parent, word) => childOf(parent, word), program);
  if (group === undefined || group.commands.length === 0) return [...argv]; // an argument that happens to be this word
  const path = [...before];
  let command = group;
  for (const word of argv.slice(at + 1)) {
    if (word.startsWith("-") || command.commands.length === 0) break;
    path.push(word);
    const found = childOf(command, word);
    if (found === undefined) return path;
    command = found;
  }
  return [...path, "--help"];
}

function childOf(parent: Command | undefined, name: string): Command | undefined {
  return parent?.commands.find((candidate) => candidate.name() === name);
}

/** Commander's message on one line, with the help of the command that was meant as the next step. */
function usageFailure(program: Command, argv: readonly string[], error: CommanderError): CliFailure {
  let command = program;
  for (const word of argv) {
    const found = command.commands.find((candidate) => candidate.name() === word);
    if (found !== undefined) command = found;
  }
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  const path = names.join(" ");
  const why = error.message
    .replace(/^error: /, "")
    .replaceAll("\n", " ")
    .replace(/\.$/, "");
  return new CliFailure("usage", `Cannot run ${path}: ${why}`, {
    next: hint([...names.slice(1), "--help"].join(" ")),
    code: "USAGE",
  });
}

type Run = (context: CommandContext) => Promise<CommandResult>;

export function createProgram(): Command {
  const program = new Command("althing")
    .description("A fault-tolerant cluster in one package: Raft, and etcd's data model on top of it.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command...]", "print the help of a command") // `helpAsFlag` runs it
    .exitOverride()
    .configureOutput({ outputError: () => undefined }) // `main` reports errors, on one line
    .addHelpText("after", `\n${exitCodesHelp()}\n\nStart here: ${hint("dev")}`);

  program.commandsGroup("Run a cluster:");
  defineDev(program);
  defineNode(program);
  defineDemo(program);
  program.commandsGroup("Look after a cluster:");
  defineStatus(program);
  defineDoctor(program);
  defineMember(program);
  defineBackup(program);
  defineRestore(program);
  program.commandsGroup("Use a cluster:");
  defineKv(program);
  program.commandsGroup("Test:");
  defineSim(program);
  return program;
}

/** Flags that every command has. */
function common(command: Command): Command {
  return command
    .option("--json", "print JSON, one object per line, on stdout")
    .option("-q, --quiet", "print results only, no narration");
}

/** Flags of the commands that call a cluster. */
function calling(command: Command): Command {
  return common(command)
    .option(
      "--endpoints <list>",
      "nodes to call, host:port separated by commas (env ALTHING_ENDPOINTS, ETCDCTL_ENDPOINTS)",
    )
    .option("--timeout <duration>", "give up after this time, for example 10s (default: 5s)", duration);
}

const oneShot = (options: GlobalOptions, run: Run): Promise<void> => runCommand("one-shot", options, run);
const server = (options: GlobalOptions, run: Run): Promise<void> => runCommand("server", options, run);

function defineDev(program: Command): void {
  common(program.command("dev"))
    .description("start a local cluster, one process per node, data kept between runs")
    .option("--nodes <count>", "how many nodes (default: what the folder holds, else 3)", wholeNumber(1, 9))
    .option(
      "--port <port>",
      "public port of the first node; node i listens 10 (i - 1) higher (default: 7400)",
      wholeNumber(1, 65_535),
    )
    .option("--dir <folder>", "where the data live", ".althing")
    .addOption(new Option("--consensus <engine>", "how the nodes agree (default: raft)").choices(consensusEngines))
    .action((options: DevOptions) =>
      server(options, async (context) => (await import("./commands/dev.ts")).dev(context, options)),
    );
}

function defineNode(program: Command): void {
  common(program.command("node"))
    .description("run one node of a cluster in this process")
    .option("--config <file>", "a .json, .ts or .js file; flags and ALTHING_* variables go before it")
    .option("--id <number>", "the node's id, never used by another", wholeNumber(1))
    .option("--name <name>", "the node's name (default: node-ID)")
    .option("--cluster <name>", "the cluster's name; nodes of another one are refused (default: althing)")
    .option("--dir <folder>", "the node's data folder")
    .option("--listen <address>", "public address, host:port (default: 127.0.0.1:7400)")
    .option("--peer-listen <address>", "address for other nodes (default: the public port + 1)")
    .option("--advertise <address>", "public address that clients are told (default: --listen)")
    .option("--peer-advertise <address>", "address that other nodes are told (default: --peer-listen)")
    .option("--initial-cluster <list>", "first members as ID=HOST:PEERPORT, separated by commas")
    .option("--join", "the node was added to a running cluster by `althing member add`")
    .addOption(new Option("--consensus <engine>", "how the nodes agree (default: raft)").choices(consensusEngines))
    .addOption(
      new Option("--log-level <level>", "least level to log (default: info)").choices([
        "debug",
        "info",
        "warn",
        "error",
      ]),
    )
    .option("--insecure", "allow an address beyond loopback without TLS and credentials")
    .addOption(new Option("--exit-with-parent", "end when stdin closes").hideHelp())
    .action((options: NodeFlags) =>
      server(options, async (context) => (await import("./commands/node.ts")).node(context, options)),
    );
}

function defineDemo(program: Command): void {
  common(program.command("demo"))
    .description("the unattended tour: load real records, kill the leader three times, verify every acknowledged write")
    .option("--kills <count>", "how many times the leader is killed", wholeNumber(1, 20), 3)
    .option("--seconds <count>", "upper bound of the tour", wholeNumber(15, 600), 60)
    .option("--records <count>", "load at most so many files as records", wholeNumber(1, 1_000_000), 20_000)
    .option("--keep", "leave the data folder in place")
    .action((options: DemoOptions) =>
      oneShot(options, async (context) => (await import("./commands/demo.ts")).demo(context, options)),
    );
}

function defineStatus(program: Command): void {
  calling(program.command("status"))
    .description("show every member, its role and its health")
    .action((options: ClientOptions) =>
      oneShot(options, async (context) => (await import("./commands/status.ts")).status(context, options)),
    );
}

function defineDoctor(program: Command): void {
  common(program.command("doctor"))
    .description("check this machine and a data folder; each line says what to do next")
    .option("--dir <folder>", "the data folder to check", ".althing")
    .option(
      "--port <port>",
      "the port a node would use (default: that of the folder's local cluster, else 7400)",
      wholeNumber(1, 65_535),
    )
    .action((options: DoctorOptions) =>
      oneShot(options, async (context) => (await import("./commands/doctor.ts")).doctor(context, options)),
    );
}

function defineMember(program: Command): void {
  const member = program.command("member").helpCommand(false).description("list and change the members of a cluster");
  calling(member.command("list"))
    .description("print the members")
    .action((options: ClientOptions) =>
      oneShot(options, async (context) => (await import("./commands/member.ts")).list(context, options)),
    );
  calling(member.command("add"))
    .description("add a member; start its node afterwards with --join")
    .argument("<name>", "the new node's name")
    .requiredOption("--peer <address>", "host:port of the new node's peer port")
    .option("--learner", "add it without a vote; promote it later")
    .option("--cluster <name>", "the cluster's name, for the command that is printed (default: althing)")
    .action((name: string, options: MemberAddOptions) =>
      oneShot(options, async (context) => (await import("./commands/member.ts")).add(context, name, options)),
    );
  calling(member.command("promote"))
    .description("give a learner its vote")
    .argument("<id>", "the member's id, as the list prints it", hexId)
    .action((id: bigint, options: ClientOptions) =>
      oneShot(options, async (context) => (await import("./commands/member.ts")).promote(context, id, options)),
    );
  calling(member.command("remove"))
    .description("remove a member; its data folder is of no use afterwards")
    .argument("<id>", "the member's id, as the list prints it", hexId)
    .action((id: bigint, options: ClientOptions) =>
      oneShot(options, async (context) => (await import("./commands/member.ts")).remove(context, id, options)),
    );
  calling(member.command("update"))
    .description("change the address of a member's peer port")
    .argument("<id>", "the member's id, as the list prints it", hexId)
    .requiredOption("--peer <address>", "host:port of the peer port")
    .action((id: bigint, options: MemberUpdateOptions) =>
      oneShot(options, async (context) => (await import("./commands/member.ts")).update(context, id, options)),
    );
}

function defineBackup(program: Command): void {
  calling(program.command("backup"))
    .description("save a snapshot of every key, its history and the leases")
    .argument("<file>", "where to save it")
    .option("--force", "replace the file if it exists")
    .action((file: string, options: BackupOptions) =>
      oneShot(options, async (context) => (await import("./commands/backup.ts")).backup(context, file, options)),
    );
}

function defineRestore(program: Command): void {
  common(program.command("restore"))
    .description("make the data folders of a new cluster out of a snapshot")
    .argument("<file>", "what `althing backup` or `etcdctl snapshot save` has saved of a cluster of Althing")
    .option("--dir <folder>", "where the folders node-1, node-2 … go; missing or empty", ".althing")
    .option("--initial-cluster <list>", "members as ID=HOST:PEERPORT, separated by commas (default: a local cluster)")
    .option("--cluster <name>", "the new cluster's name (default: restored- and a random number)")
    .option("--nodes <count>", "without --initial-cluster: how many nodes (default: 3)", wholeNumber(1, 9))
    .option("--port <port>", "without --initial-cluster: as for `dev` (default: 7400)", wholeNumber(1, 65_535))
    .addOption(new Option("--consensus <engine>", "how the new nodes agree (default: raft)").choices(consensusEngines))
    .option("--check", "only read the file and say what it holds")
    .action((file: string, options: RestoreOptions) =>
      oneShot(options, async (context) => (await import("./commands/restore.ts")).restore(context, file, options)),
    );
}

function defineKv(program: Command): void {
  const kv = program
    .command("kv")
    .helpCommand(false)
    .description("read and write keys; works with any etcd v3 cluster too");
  const get = calling(kv.command("get"))
    .description("print a key's value, or a table of a range of keys")
    .argument("<key>")
    .argument("[end]", "end of the range, exclusive");
  ranged(get)
    .option("--limit <count>", "at most so many keys", wholeNumber(1))
    .option("--rev <revision>", "as of this revision", wholeNumber(1))
    .addOption(new Option("--sort-by <what>", "order of a range").choices(["key", "version", "create", "mod", "value"]))
    .option("--descend", "from the last to the first")
    .option("--keys-only", "without the values")
    .option("--count-only", "only how many keys there are")
    .option("--stale", "answer from whichever node is asked, without asking the leader")
    .action((key: string, end: string | undefined, options: GetOptions) =>
      oneShot(options, async (context) => (await import("./commands/kv.ts")).get(context, key, end, options)),
    );
  calling(kv.command("put"))
    .description("set a key")
    .argument("<key>")
    .argument("[value]", "read from stdin when it is left out or -")
    .option("--lease <id>", "the key lives as long as this lease", hexId)
    .option("--prev", "print the value it had before")
    .option("--ignore-value", "keep the value, change the lease")
    .option("--ignore-lease", "keep the lease, change the value")
    .option("--create", "only if the key does not exist (else exit code 5)")
    .option(
      "--if-rev <revision>",
      "only if the key was last changed at this revision (else exit code 5)",
      wholeNumber(1),
    )
    .action((key: string, value: string | undefined, options: PutOptions) =>
      oneShot(options, async (context) => (await import("./commands/kv.ts")).put(context, key, value, options)),
    );
  const del = calling(kv.command("del"))
    .description("delete a key or a range of keys")
    .argument("<key>")
    .argument("[end]", "end of the range, exclusive");
  ranged(del)
    .option("--prev", "print what was deleted")
    .action((key: string, end: string | undefined, options: DelOptions) =>
      oneShot(options, async (context) => (await import("./commands/kv.ts")).del(context, key, end, options)),
    );
  calling(kv.command("txn"))
    .description(
      "read a transaction from stdin: compares, then a blank line, success operations, a blank line, failure operations",
    )
    .action((options: TxnOptions) =>
      oneShot(options, async (context) => (await import("./commands/txn.ts")).txn(context, options)),
    );
  const watch = calling(kv.command("watch"))
    .description("print changes as they happen; goes on at another node when one fails")
    .argument("<key>")
    .argument("[end]", "end of the range, exclusive");
  ranged(watch)
    .option("--rev <revision>", "start with the changes of this revision", wholeNumber(1))
    .option("--prev", "print the value before each change too")
    .option("--count <events>", "end after so many events", wholeNumber(1))
    .action((key: string, end: string | undefined, options: WatchOptions) =>
      oneShot(options, async (context) => (await import("./commands/watch.ts")).watch(context, key, end, options)),
    );
  calling(kv.command("compact"))
    .description("forget the history before a revision")
    .argument("<revision>", "revisions below it can no longer be read", wholeNumber(1))
    .action((revision: number, options: ClientOptions) =>
      oneShot(options, async (context) => (await import("./commands/kv.ts")).compact(context, revision, options)),
    );
  calling(kv.command("lock"))
    .description("take a lock, hold it while a command runs or until Ctrl-C")
    .argument("<name>")
    .argument("[command...]", "the command to run, after --")
    .option("--ttl <seconds>", "the lock is free again so long after this process is gone", wholeNumber(1), 10)
    .action((name: string, command: readonly string[], options: LockOptions) =>
      oneShot(options, async (context) => (await import("./commands/lock.ts")).lock(context, name, command, options)),
    );
  calling(kv.command("elect"))
    .description("stand for an election and hold office until Ctrl-C, or listen to who wins")
    .argument("<election>")
    .argument("[value]", "what the winner proclaims")
    .option("--listen", "do not stand, print each winner")
    .option("--count <wins>", "with --listen: end after so many", wholeNumber(1))
    .option("--ttl <seconds>", "the office is free again so long after this process is gone", wholeNumber(1), 10)
    .action((name: string, value: string | undefined, options: ElectOptions) =>
      oneShot(options, async (context) => (await import("./commands/elect.ts")).elect(context, name, value, options)),
    );
  defineLease(kv);
}

/** Flags that name a range of keys. */
function ranged(command: Command): Command {
  return command.option("--prefix", "every key that begins with <key>").option("--from-key", "every key from <key> on");
}

function defineLease(kv: Command): void {
  const lease = kv.command("lease").helpCommand(false).description("grant, keep and inspect leases");
  calling(lease.command("grant"))
    .description("make a lease and print its id")
    .argument("<seconds>", "time to live", wholeNumber(1))
    .option("--id <id>", "choose the id, in hexadecimal", hexId)
    .action((seconds: number, options: GrantOptions) =>
      oneShot(options, async (context) => (await import("./commands/lease.ts")).grant(context, seconds, options)),
    );
  calling(lease.command("revoke"))
    .description("end a lease and delete its keys")
    .argument("<id>", "the lease's id", hexId)
    .action((id: bigint, options: ClientOptions) =>
      oneShot(options, async (context) => (await import("./commands/lease.ts")).revoke(context, id, options)),
    );
  calling(lease.command("keep-alive"))
    .description("renew a lease until Ctrl-C")
    .argument("<id>", "the lease's id", hexId)
    .option("--once", "renew it once")
    .action((id: bigint, options: KeepAliveOptions) =>
      oneShot(options, async (context) => (await import("./commands/lease.ts")).keepAlive(context, id, options)),
    );
  calling(lease.command("ttl"))
    .description("print how long a lease still lives")
    .argument("<id>", "the lease's id", hexId)
    .option("--keys", "print its keys too")
    .action((id: bigint, options: TtlOptions) =>
      oneShot(options, async (context) => (await import("./commands/lease.ts")).ttl(context, id, options)),
    );
  calling(lease.command("list"))
    .description("print the ids of all leases")
    .action((options: ClientOptions) =>
      oneShot(options, async (context) => (await import("./commands/lease.ts")).list(context, options)),
    );
}

function defineSim(program: Command): void {
  common(program.command("sim"))
    .description("run whole clusters on simulated networks and disks with faults drawn from a seed")
    .option("--seed <number>", "the first seed", wholeNumber(0), 1)
    .option("--seeds <count>", "how many seeds, one after the other", wholeNumber(1), 1)
    .option("--nodes <count>", "nodes of each cluster", wholeNumber(1, 9), 3)
    .option("--seconds <count>", "simulated seconds of each run", wholeNumber(1, 86_400), 30)
    .option("--twice", "run each seed twice and compare every event")
    .option("--stale-reads", "read from any node without asking the leader, to see the check object")
    .addOption(new Option("--consensus <engine>", "how the nodes agree (default: raft)").choices(consensusEngines))
    .option("--faults <list>", "only these faults of the seed's schedule: `none`, or positions as in 0,3")
    .option("--shrink", "leave out faults of a failing seed until it takes each of those that are left")
    .option("--trace <file>", "write every event of the first failing seed, else of the last, as JSON lines")
    .option("--diagram <file>", "write a sequence diagram of that run: Mermaid, or plain text for .txt")
    .action((options: SimOptions) =>
      oneShot(options, async (context) => (await import("./commands/sim.ts")).sim(context, options)),
    );
}
