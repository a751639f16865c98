/**
 * Scenario scripts: a comment, commands, `---`, and the trace they give. The language, one command a line or after `;`:
 *
 *   nodes 3 [option=value …]          founders n1…; options are the cluster's tunables (leaseMs=300 …)
 *   join n4                           a new machine with an empty disk that knows nobody
 *   run 200                           time passes: everything that is due happens; `settle 600` the same, untold
 *   draw n1 0.5                       n1's random draws from now on (timeouts are [1, 2) × electionMs: 1 + draw)
 *   tick n1                           one tick now; `late n1 500` lets n1's clock jump first, as after a pause
 *   propose n1 a b …                  one entry each; `propose n1 20×64` twenty entries of 64 bytes
 *   read n1 [n1 …]                    asks for a read index
 *   transfer n1 n2
 *   change n1 n2 n3 n4:learner n5:promote    n1 is asked for the members n2 n3 and the learners n4 and n5
 *   cut n1 | n2 n3                    both ways between the sides; `cut n1 > n2` one way; `heal` mends all
 *   hold n1 > n2                      frames pile up; `deliver n1 > n2 [k]` hands over the first k (all), `release` lets go
 *   pause n1                          stops the process as SIGSTOP does; `resume n1`: its frames first, then its late tick
 *   feed n1 > n2 5                    hands over held frames one by one, until the log of n2 ends at 5
 *   until n2 leader                   time passes until n2 has the role, at most 20 election timeouts
 *   wipe n1                           the stopped n1 comes back with an empty disk, a new data folder under the old id
 *   drop|double|reverse n1 > n2       what piles up is lost, arrives twice, or comes in reverse
 *   disk n1 held|free                 writes stay open; `sync n1 [k]` finishes the first k (all)
 *   stall n1 on|off                   the host's disk watchdog speaks
 *   crash n1 [k]                      k of the open records reached the disk all the same; `start n1` runs it again
 *   damage n1 5                       the record of entry 5 on the stopped n1 is unreadable
 *   damage n1 vote                    the newest vote on the stopped n1 is unreadable, but for its term
 *   checkpoint n1 [keeping k]         the state is durable, the log forgets all but k entries of it
 *   snapshots held|free               transfers wait for `install n1 > n2` or `fail n1 > n2`
 *   lost n1 n2                        n1's connection to n2 broke
 *   trace all|quiet                   frames and disk writes too, or neither
 *   status [n1 …]  ·  logs [n1 …]
 *
 * A trace line begins with the node and the term it is in after the step.
 */
import { assert } from "../../src/base/assert.ts";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { logIndex, type NodeId, nodeId } from "../../src/base/ids.ts";
import { type Configuration, incomingVoters, type Member } from "../../src/consensus/contract/configuration.ts";
import type { CoreEvent, CoreFactory, Input, Role, StepOutcome } from "../../src/consensus/contract/core.ts";
import { type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { Cluster, type Fact, type Tunables } from "./cluster.ts";
import type { Lens } from "./safety.ts";

export interface Engine {
  readonly factory: CoreFactory;
  readonly lens: Lens;
}

export interface Block {
  readonly comment: readonly string[];
  readonly commands: readonly string[];
  readonly trace: readonly string[];
}

/** Splits a script into its blocks: comment lines, command lines, `---`, trace lines, and an empty line or two. */
export function parseScript(text: string): readonly Block[] {
  const blocks: Block[] = [];
  let comment: string[] = [];
  let commands: string[] = [];
  let trace: string[] | undefined;
  const flush = (): void => {
    if (comment.length > 0 || commands.length > 0) blocks.push({ comment, commands, trace: trace ?? [] });
    comment = [];
    commands = [];
    trace = undefined;
  };
  for (const line of text.split("\n")) {
    if (trace !== undefined) {
      if (line === "") flush();
      else trace.push(line);
    } else if (line === "---") trace = [];
    else if (line.startsWith("#")) comment.push(line);
    else if (line !== "") commands.push(line);
    else flush();
  }
  flush();
  return blocks;
}

/** The script with the traces that it gives now. */
export function replay(text: string, engine: Engine): string {
  const run = new ScriptRun(engine);
  const out: string[] = [];
  for (const block of parseScript(text)) {
    out.push(...block.comment, ...block.commands);
    if (block.commands.length > 0) {
      out.push("---");
      for (const line of block.commands) {
        for (const command of line.split(";")) run.execute(command.trim());
      }
      out.push(...run.takeTrace());
    }
    out.push("");
  }
  return out.join("\n");
}

export const member = (id: NodeId, role: "voter" | "learner" = "voter", promote = false): Member => ({
  id,
  incarnation: 0,
  role,
  promote,
  name: `n${id}`,
  address: `n${id}:1`,
  clientUrls: [],
});

const node = (word: string | undefined): NodeId => {
  const match = /^n(\d+)$/.exec(word ?? "");
  assert(match !== null, "a node is written n1, n2 …", { word });
  return nodeId(Number(match[1]));
};

const named = (ids: readonly NodeId[]): string => (ids.length === 0 ? "none" : ids.map((id) => `n${id}`).join(" "));

class ScriptRun {
  readonly #engine: Engine;
  #cluster: Cluster | undefined;
  readonly #draws = new Map<NodeId, number>();
  #trace: string[] = [];
  #detail = false;
  #bulk = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  takeTrace(): readonly string[] {
    const trace = this.#trace;
    this.#trace = [];
    return trace;
  }

  execute(command: string): void {
    const [verb = "", ...words] = command.split(/\s+/);
    if (verb === "nodes") this.#create(words);
    else if (verb === "draw") this.#draws.set(node(words[0]), number(words[1]));
    else if (verb === "trace") this.#detail = words[0] === "all";
    else this.#command(this.#running(), verb, words);
  }

  #command(cluster: Cluster, verb: string, words: readonly string[]): void {
    switch (verb) {
      case "join":
        return cluster.add(node(words[0]));
      case "run":
        return cluster.run(number(words[0]));
      case "until": {
        const id = node(words[0]);
        const came = cluster.runUntil(() => cluster.core(id).role === words[1], 10_000);
        assert(came, "the role came", { id, role: words[1] });
        return;
      }
      case "pause":
        cluster.paused.add(node(words[0]));
        return;
      case "resume":
        return cluster.resume(node(words[0]));
      case "feed":
        return this.#feed(cluster, words);
      case "wipe":
        return cluster.wipe(node(words[0]));
      case "settle": {
        const told = this.#trace.length;
        cluster.run(number(words[0]));
        this.#trace.length = told;
        return;
      }
      case "tick":
        return cluster.tick(node(words[0]));
      case "late":
        cluster.machine(node(words[0])).offsetMs += number(words[1]);
        return cluster.tick(node(words[0]));
      case "propose":
        return this.#propose(cluster, node(words[0]), words.slice(1));
      case "read":
        for (const word of words) cluster.read(node(word));
        return;
      case "transfer":
        cluster.transfer(node(words[0]), node(words[1]));
        return;
      case "change":
        cluster.change(
          node(words[0]),
          words.slice(1).map((word) => parseMember(cluster, word)),
        );
        return;
      case "cut":
        return this.#cut(cluster, words);
      case "heal":
        return cluster.heal();
      case "hold":
      case "release":
      case "deliver":
      case "drop":
      case "double":
      case "reverse":
        return this.#link(cluster, verb, words);
      case "disk": {
        const id = node(words[0]);
        cluster.machine(id).diskHeld = words[1] === "held";
        return;
      }
      case "sync": {
        const id = node(words[0]);
        const count = words[1] === undefined ? cluster.machine(id).open.length : number(words[1]);
        for (let i = 0; i < count; i++) cluster.sync(id);
        return;
      }
      case "stall":
        cluster.input(node(words[0]), { type: "disk", stalled: words[1] === "on" });
        return;
      case "crash":
        return cluster.crash(node(words[0]), words[1] === undefined ? 0 : number(words[1]));
      case "start":
        cluster.machine(node(words[0])).diskHeld = false;
        cluster.start(node(words[0]));
        return this.#say(node(words[0]), `starts with log ${this.#logSpan(node(words[0]))}`);
      case "damage":
        if (words[1] === "vote") return cluster.damageVote(node(words[0]));
        return cluster.damage(node(words[0]), logIndex(number(words[1])));
      case "checkpoint":
        return cluster.checkpoint(node(words[0]), words[2] === undefined ? 0 : number(words[2]));
      case "recycle":
        return cluster.recycle(node(words[0]));
      case "snapshots":
        cluster.snapshotsHeld = words[0] === "held";
        return;
      case "install":
      case "fail":
        return this.#finishTransfer(cluster, node(words[0]), node(words[2]), verb === "install");
      case "lost":
        cluster.input(node(words[0]), { type: "peer-lost", peer: node(words[1]) });
        return;
      case "status":
        for (const id of words.length > 0 ? words.map(node) : cluster.ids) this.#status(cluster, id);
        return;
      case "logs":
        for (const id of words.length > 0 ? words.map(node) : cluster.ids) this.#log(cluster, id);
        return;
      default:
        throw new Error(`Cannot run "${verb}": no such command`);
    }
  }

  #create(words: readonly string[]): void {
    const count = number(words[0]);
    const ids = Array.from({ length: count }, (_, i) => nodeId(i + 1));
    const tunables: Record<string, number> = {};
    for (const word of words.slice(1)) {
      const [name = "", value] = word.split("=");
      tunables[name] = number(value);
    }
    this.#cluster = new Cluster({
      factory: this.#engine.factory,
      lens: this.#engine.lens,
      founders: { members: ids.map((id) => ({ ...member(id), incarnation: 2 })), outgoing: [] },
      tunables: tunables as Partial<Tunables>, // a wrong name changes nothing and shows in the trace
      // Left alone, nodes stand in the order of their ids, far enough apart that the first wins.
      random: (id) => () => this.#draws.get(id) ?? Math.min(0.99, (id - 1) / 10),
      observe: (fact) => this.#observe(fact),
    });
  }

  #propose(cluster: Cluster, id: NodeId, words: readonly string[]): void {
    for (const word of words) {
      const many = /^(\d+)×(\d+)$/.exec(word);
      if (many === null) {
        cluster.propose(id, word);
        continue;
      }
      for (let i = 0; i < Number(many[1]); i++) {
        cluster.propose(id, `${id}.${++this.#bulk}.`.padEnd(Number(many[2]), "x"));
      }
    }
  }

  #cut(cluster: Cluster, words: readonly string[]): void {
    const oneWay = words.indexOf(">");
    const at = oneWay >= 0 ? oneWay : words.indexOf("|");
    assert(at > 0, "cut n1 | n2, or cut n1 > n2", { words });
    for (const a of words.slice(0, at).map(node)) {
      for (const b of words.slice(at + 1).map(node)) {
        cluster.cut(a, b);
        if (oneWay < 0) cluster.cut(b, a);
      }
    }
  }

  #link(cluster: Cluster, verb: string, words: readonly string[]): void {
    assert(words[1] === ">", `${verb} n1 > n2`, { words });
    const from = node(words[0]);
    const to = node(words[2]);
    const waiting = cluster.flights.filter((f) => f.from === from && f.to === to);
    const count = words[3] === undefined ? waiting.length : number(words[3]);
    switch (verb) {
      case "hold":
        return cluster.hold(from, to);
      case "release":
        return cluster.release(from, to);
      case "deliver":
        for (const flight of waiting.slice(0, count)) cluster.deliver(flight);
        return;
      case "drop":
        for (const flight of waiting.slice(0, count)) cluster.lose(flight);
        return;
      case "double":
        for (const flight of waiting.slice(0, count)) cluster.deliver(flight, true);
        for (const flight of waiting.slice(0, count)) cluster.deliver(flight);
        return;
      default:
        for (const flight of waiting.slice(0, count).reverse()) cluster.deliver(flight);
    }
  }

  #feed(cluster: Cluster, words: readonly string[]): void {
    const from = node(words[0]);
    const to = node(words[2]);
    for (let i = 0; cluster.core(to).status().last !== number(words[3]); i++) {
      assert(i < 50, "the log gets there", { from, to });
      const flight = cluster.flights.find((f) => f.from === from && f.to === to);
      if (flight !== undefined) cluster.deliver(flight);
      if (cluster.core(to).status().last !== number(words[3])) cluster.run(2);
    }
  }

  #finishTransfer(cluster: Cluster, from: NodeId, to: NodeId, ok: boolean): void {
    const transfer = cluster.transfers.find((t) => t.from === from && t.to === to);
    assert(transfer !== undefined, "a snapshot on its way", { from, to });
    cluster.finishTransfer(transfer, ok);
  }

  #running(): Cluster {
    assert(this.#cluster !== undefined, "a script begins with `nodes`");
    return this.#cluster;
  }

  // ---- the trace --------------------------------------------------------------------------------------------------

  #observe(fact: Fact): void {
    switch (fact.type) {
      case "event":
        return this.#event(fact.id, fact.before, fact.event);
      case "outcome":
        return this.#say(
          fact.id,
          describeOutcome(fact.input, fact.outcome, (t) => this.#term(t)),
        );
      case "applied":
        return this.#say(fact.id, `applies ${fact.records.map((r) => this.#entry(r)).join(", ")}`);
      case "read": {
        const { context, index } = fact.grant;
        return this.#say(fact.id, index === undefined ? `read ${context}: ask again` : `read ${context}: at ${index}`);
      }
      case "snapshot": {
        const { index, term } = fact.start;
        return this.#say(fact.id, `snapshot at ${index}@${this.#term(term)} for n${fact.peer} ${fact.phase}`);
      }
      case "sent":
        if (!this.#detail) return;
        return this.#say(
          fact.id,
          `→ n${fact.to} ${this.#engine.lens.describe(fact.frame)}${fact.fate === "lost" ? " ✗" : ""}`,
        );
      case "wrote":
        if (!this.#detail) return;
        return this.#say(
          fact.id,
          `writes #${fact.ticket} ${fact.records.map((r) => this.#describeRecord(r)).join(", ")}`,
        );
      case "synced":
        if (!this.#detail) return;
        return this.#say(fact.id, `disk #${fact.ticket} done`);
      case "delivered":
        return;
    }
  }

  #event(id: NodeId, before: Role, event: CoreEvent): void {
    switch (event.type) {
      case "role": {
        const leader = event.leader === undefined || event.leader === id ? "" : ` of n${event.leader}`;
        this.#trace.push(`n${id}@${this.#term(event.term)} ${before} → ${event.role}${leader} (${event.why})`);
        return;
      }
      case "configuration": {
        const state = event.committed ? "committed" : "appended";
        return this.#say(id, `configuration ${event.index} ${state}: ${describeConfiguration(event.configuration)}`);
      }
      case "need-snapshot":
        return; // the harness answers it; the snapshot's own line follows
      case "stuck":
        return this.#say(id, `n${event.peer} is stuck (${event.why})`);
      case "ignored":
        return this.#say(id, `ignores ${event.message} from n${event.from} (${event.why})`);
      case "truncated":
        return this.#say(id, `cuts off ${event.from}…${event.to}`);
      case "repaired":
        return this.#say(id, `is repaired up to ${event.upTo}`);
    }
  }

  #status(cluster: Cluster, id: NodeId): void {
    const machine = cluster.machine(id);
    if (machine.core === undefined) {
      this.#trace.push(`n${id} is down`);
      return;
    }
    const { role, leader, commit, damaged } = machine.core.status();
    const of = leader === undefined || leader === id ? "" : ` of n${leader}`;
    const state = `commit ${commit}, applied ${machine.applied}, log ${this.#logSpan(id)}${damaged ? ", damaged" : ""}`;
    this.#say(id, `${role}${of}: ${state}`);
  }

  #log(cluster: Cluster, id: NodeId): void {
    const { first, last } = cluster.core(id).status();
    const terms: string[] = [];
    for (let i = first; i <= last; i = logIndex(i + 1))
      terms.push(`${i}@${this.#term(cluster.core(id).startAt(i)?.term)}`);
    this.#say(id, `log ${terms.join(" ")}`);
  }

  #logSpan(id: NodeId): string {
    const { first, last } = this.#running().core(id).status();
    return last < first ? `empty after ${first - 1}` : `${first}…${last}`;
  }

  #describeRecord(record: LogRecord): string {
    switch (record.kind) {
      case RecordKind.vote: {
        const candidate = this.#engine.lens.votedFor(record);
        return `term ${record.term}${candidate === undefined ? "" : ` vote n${candidate}`}`;
      }
      case RecordKind.start:
        return `start after ${record.index}@${this.#term(record.term)}`;
      case RecordKind.promise:
        return `promise ${this.#term(record.term)}`;
      case RecordKind.chosen:
        return `chosen up to ${record.index}`;
      default:
        return this.#entry(record);
    }
  }

  #entry(record: LogRecord): string {
    return describeEntry(record, this.#term(record.term));
  }

  #term(term: number | undefined): string {
    return term === undefined ? "?" : (this.#engine.lens.term?.(term) ?? String(term));
  }

  #say(id: NodeId, what: string): void {
    const { core } = this.#running().machine(id);
    this.#trace.push(`n${id}@${core === undefined ? "-" : this.#term(core.term)} ${what}`);
  }
}

function number(word: string | undefined): number {
  const value = Number(word);
  assert(word !== undefined && Number.isFinite(value), "a number", { word });
  return value;
}

function parseMember(cluster: Cluster, word: string): Member {
  const [name, role] = word.split(":");
  const id = node(name);
  const incarnation = cluster.machines.get(id)?.incarnation ?? 0;
  if (role === undefined) return { ...member(id), incarnation };
  assert(role === "learner" || role === "promote", "n4, n4:learner or n4:promote", { word });
  return { ...member(id, "learner", role === "promote"), incarnation };
}

function describeEntry(record: LogRecord, term: string): string {
  const place = `${record.index}@${term}`;
  switch (record.kind) {
    case RecordKind.acceptedCommand:
    case RecordKind.command: {
      const text = fromUtf8(record.body);
      return `${place} ${text.length > 8 ? `${text.slice(0, 6)}…` : text}`;
    }
    case RecordKind.acceptedNoop:
    case RecordKind.noop:
      return `${place} (noop)`;
    default:
      return `${place} (configuration)`;
  }
}

function describeConfiguration(configuration: Configuration): string {
  const learners = configuration.members.filter((m) => m.role === "learner").map((m) => m.id);
  const parts = [`voters ${named(incomingVoters(configuration))}`];
  if (configuration.outgoing.length > 0) parts.push(`leaving ${named(configuration.outgoing)}`);
  if (learners.length > 0) parts.push(`learners ${named(learners)}`);
  return parts.join(", ");
}

function describeOutcome(input: Input, outcome: StepOutcome, term: (term: number) => string): string {
  const what =
    input.type === "propose"
      ? shorten(fromUtf8(input.body))
      : input.type === "transfer"
        ? `transfer to n${input.to}`
        : input.type;
  if (outcome.type === "accepted")
    return `accepts ${what}${input.type === "transfer" ? "" : ` at ${outcome.index}@${term(outcome.term)}`}`;
  const hint = outcome.leader === undefined ? "" : `, ask n${outcome.leader}`;
  return `refuses ${what} (${outcome.reason}${hint})`;
}

const shorten = (text: string): string => (text.length > 8 ? `${text.slice(0, 6)}…` : text);
