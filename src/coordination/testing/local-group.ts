/**
 * A group of one replica, without consensus, log or disk: what is proposed is committed at the end of the turn. It keeps the
 * rest of the handle's contract (order, exactly once, never synchronously, deadlines, refusal without a leader), and lets a
 * test take leadership away and give it back.
 */
import { assert } from "../../base/assert.ts";
import { AlthingError } from "../../base/errors.ts";
import { type LogIndex, logIndex, type NodeId, nodeId, sessionId, type Term, term } from "../../base/ids.ts";
import { EMPTY_CONFIGURATION, type Member } from "../../consensus/contract/configuration.ts";
import type { CallOptions, GroupHandle, GroupStatus } from "../../group/handle.ts";
import type { Outcome, ReadLevel } from "../../group/outcome.ts";
import type { StateMachine } from "../../group/state-machine.ts";
import type { Clock } from "../../ports/clock.ts";

interface Proposal<Result> {
  readonly command: Uint8Array;
  readonly done: (outcome: Outcome<Result>) => void;
}

export class LocalGroup<Result, Query, Answer> implements GroupHandle<Result, Query, Answer> {
  readonly nodeId: NodeId = nodeId(1);
  readonly #machine: StateMachine<Result, Query, Answer>;
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #members: readonly Member[];
  #proposals: Proposal<Result>[] = [];
  #reads: ((error: AlthingError | undefined) => void)[] = [];
  #flushPlanned = false;
  #applied = 0;
  #sequence = 0;
  #term = 1;
  #leading = true;
  #answer: ((question: Uint8Array, from: NodeId) => Promise<Uint8Array>) | undefined;
  #closed = false;
  /** False while a snapshot is being installed. */
  #isWhole = true;
  #stale: (() => void)[] = [];
  /** What every proposal is answered with instead of being committed; for tests of failures. */
  failWith: Outcome<Result> | undefined;
  /** As if the disk had no room. */
  diskFull = false;
  /** Holds confirmations of reads back until it is false again. */
  readsHeld = false;
  proposalCount = 0;

  constructor(options: { readonly machine: StateMachine<Result, Query, Answer>; readonly clock: Clock }) {
    this.#machine = options.machine;
    this.#clock = options.clock;
    this.#members = [
      {
        id: this.nodeId,
        incarnation: 1,
        role: "voter",
        promote: false,
        name: "n1",
        address: "127.0.0.1:7401",
        clientUrls: ["http://127.0.0.1:7400"],
      },
    ];
  }

  get leader(): NodeId | undefined {
    return this.#leading ? this.nodeId : undefined;
  }
  get isLeader(): boolean {
    return this.#leading;
  }
  get isReadyLeader(): boolean {
    return this.#leading;
  }
  get term(): Term {
    return term(this.#term);
  }
  get applied(): LogIndex {
    return logIndex(this.#applied);
  }
  get members(): readonly Member[] {
    return this.#members;
  }

  /** Loses leadership; what waits is refused. */
  stepDown(): void {
    this.#leading = false;
    this.#changed();
    const proposals = this.#proposals;
    const reads = this.#reads;
    this.#proposals = [];
    this.#reads = [];
    for (const { done } of proposals) done({ type: "rejected", reason: "no-leader", leader: undefined });
    for (const ready of reads) ready(noLeader());
  }

  /** Leads again, in a new term. */
  lead(): void {
    this.#term++;
    this.#leading = true;
    this.#changed();
    this.#planFlush();
  }

  propose(command: Uint8Array, options?: CallOptions): Promise<Outcome<Result>> {
    return new Promise((resolve) => this.submit(command, resolve, options));
  }

  submit(command: Uint8Array, done: (outcome: Outcome<Result>) => void, options: CallOptions = {}): void {
    this.proposalCount++;
    const early: Outcome<Result> | undefined = this.#closed
      ? { type: "rejected", reason: "closed", leader: undefined }
      : options.signal?.aborted === true
        ? { type: "rejected", reason: "closed", leader: undefined }
        : this.diskFull
          ? { type: "rejected", reason: "disk-full", leader: this.nodeId }
          : !this.#leading
            ? { type: "rejected", reason: "no-leader", leader: undefined }
            : this.failWith;
    if (early !== undefined) {
      this.#clock.afterTurn(() => done(early));
      return;
    }
    this.#proposals.push({ command: command.slice(), done }); // as from a log: the caller may reuse its memory
    this.#planFlush();
  }

  async read(query: Query, options: CallOptions & { readonly level: ReadLevel }): Promise<Answer> {
    await new Promise<void>((resolve, reject) => {
      this.whenReadable(options.level, (error) => (error === undefined ? resolve() : reject(error)), options);
    });
    return this.query(query);
  }

  whenReadable(level: ReadLevel, ready: (error: AlthingError | undefined) => void, options: CallOptions = {}): void {
    if (level === "stale" || level === "session") {
      if (this.#isWhole) this.#clock.afterTurn(() => ready(undefined));
      else this.#stale.push(() => ready(undefined));
      return;
    }
    if (!this.#leading) return this.#clock.afterTurn(() => ready(noLeader()));
    const { signal } = options;
    if (signal?.aborted === true) {
      return this.#clock.afterTurn(() => ready(new AlthingError("ABORTED", "Cannot read: the caller gave up")));
    }
    this.#reads.push(ready);
    this.#planFlush();
  }

  query(query: Query): Answer {
    return this.#machine.query(query);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async changeMembers(change: (members: readonly Member[]) => readonly Member[]): Promise<void> {
    await Promise.resolve();
    if (!this.#leading) throw noLeader();
    const members = [...change(this.#members)].sort((a, b) => a.id - b.id);
    assert(members.length > 0, "a group has members");
    if (!members.some((member) => member.role === "voter")) {
      throw new AlthingError("MEMBERSHIP_REFUSED", "Cannot change the members: no voter would be left");
    }
    this.#members = members;
    this.#changed();
  }

  async transferLeader(to: NodeId): Promise<void> {
    await Promise.resolve();
    if (to !== this.nodeId) throw new AlthingError("MEMBERSHIP_REFUSED", "Cannot transfer: there is one replica");
  }

  async askLeader(question: Uint8Array): Promise<Uint8Array> {
    if (!this.#leading) throw noLeader();
    return await this.ask(this.nodeId, question);
  }

  async ask(_node: NodeId, question: Uint8Array): Promise<Uint8Array> {
    assert(this.#answer !== undefined, "someone answers");
    return await this.#answer(question, this.nodeId);
  }

  onAsk(answer: (question: Uint8Array, from: NodeId) => Promise<Uint8Array>): void {
    this.#answer = answer;
  }

  exportSnapshot(): { readonly index: LogIndex; readonly chunks: AsyncIterable<Uint8Array>; close(): void } {
    const snapshot = this.#machine.snapshot();
    return { index: this.applied, chunks: snapshot.chunks(), close: () => snapshot.close() };
  }

  /** Takes another replica's state, as a follower does that lags: until it is whole, nothing is applied or read. */
  async install(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#isWhole = false;
    await this.#machine.restore(chunks);
    this.#isWhole = true;
    for (const ready of this.#stale.splice(0)) this.#clock.afterTurn(ready);
    this.#planFlush();
  }

  async checkpoint(): Promise<void> {
    await this.#machine.durable?.checkpoint(new Uint8Array([this.#applied & 0xff]));
  }

  close(): void {
    this.#closed = true;
  }

  status(): GroupStatus {
    const index = this.applied;
    return {
      role: this.#leading ? "leader" : "follower",
      term: this.term,
      leader: this.leader,
      commit: index,
      last: index,
      first: logIndex(1),
      configuration: { ...EMPTY_CONFIGURATION, members: this.#members },
      configurationIndex: logIndex(1),
      uncommitted: { entries: 0, bytes: 0 },
      peers: this.#members
        .filter((member) => member.id !== this.nodeId)
        .map((member) => ({ peer: member.id, match: index, state: "replicate" as const, lastHeardMs: 0 })),
      damaged: false,
      nodeId: this.nodeId,
      applied: index,
      checkpoint: logIndex(0),
      sessions: 1,
      pendingCommands: this.#proposals.length,
      pendingBytes: 0,
      diskFull: this.diskFull,
      refusals: [],
      consensus: "raft",
    };
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    this.#clock.afterTurn(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  /** One log entry with all that gathered. Reads that were asked for before see it. */
  #flush(): void {
    if (!this.#isWhole) return; // `install` plans anew
    const proposals = this.#proposals;
    this.#proposals = [];
    const outcomes: (() => void)[] = [];
    if (proposals.length > 0) {
      const index = logIndex(++this.#applied);
      for (const { command, done } of proposals) {
        const point = { index, term: this.term, session: sessionId(1), sequence: ++this.#sequence };
        const result = this.#machine.apply(command, point);
        outcomes.push(() => done({ type: "committed", index, result }));
      }
      this.#machine.entryApplied?.(index);
    }
    for (const outcome of outcomes) outcome();
    if (this.readsHeld) return;
    const reads = this.#reads;
    this.#reads = [];
    for (const ready of reads) ready(undefined);
  }

  /** Lets reads go that were held. */
  releaseReads(): void {
    this.readsHeld = false;
    this.#planFlush();
  }
}

function noLeader(): AlthingError {
  return new AlthingError("GROUP_NO_LEADER", "Cannot reach the group: it has no leader");
}
