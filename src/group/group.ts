/**
 * A replicated group on one node: drives a consensus core through the ports.
 * Owns    the duties 1–6 of `consensus/contract/core.ts`: order of WAL and messages, applying, read permissions; a turn's
 *         work is gathered and done once at the end of the turn.
 * Leaves  numbering and repeating commands to `proposer.ts`, reads to `read-gate.ts`, state to `replica.ts`, snapshots to
 *         `snapshot-transfer.ts`, members to `membership.ts`.
 *
 * H1. Effects are carried out in the order of the steps. Records reach the WAL before anything that may depend on them.
 * H2. A checkpoint never claims more than is applied, and what is applied is committed and durable in the WAL.
 * H3. A disk that fails stops the node. A full one stops writes: a leader refuses them, and what is under way waits.
 */
import { AlthingError, hasCode } from "../base/errors.ts";
import { AssertionError, assert } from "../base/assert.ts";
import { BytesError, concatBytes, EMPTY_BYTES } from "../base/bytes.ts";
import {
  type GroupId,
  type Incarnation,
  type LogIndex,
  logIndex,
  type NodeId,
  nodeId,
  type SessionId,
  type Term,
} from "../base/ids.ts";
import type { Limits, Timings } from "../config/limits.ts";
import {
  type Configuration,
  decodeConfiguration,
  EMPTY_CONFIGURATION,
  encodeConfiguration,
  incomingVoters,
  isJoint,
  type Member,
} from "../consensus/contract/configuration.ts";
import type {
  ConsensusCore,
  CoreEvent,
  CoreFactory,
  Effects,
  Input,
  LogStart,
  StepOutcome,
} from "../consensus/contract/core.ts";
import { isSticky, type LogRecord, RecordKind } from "../consensus/contract/record.ts";
import { sleep, type Timer } from "../ports/clock.ts";
import type { Ports } from "../ports/ports.ts";
import type { WalDamage, WriteAheadLog } from "../storage/wal/contract.ts";
import { Asks } from "./asks.ts";
import { decodeParts } from "./batch.ts";
import { CheckpointFile } from "./checkpoint-file.ts";
import type { PeerFrame } from "./frames.ts";
import type { CallOptions, GroupHandle, GroupStatus } from "./handle.ts";
import {
  decodeControl,
  encodeChange,
  encodeTransfer,
  isUnbound,
  refusal,
  type Stranger,
  tendMembers,
} from "./membership.ts";
import type { Outcome, ReadLevel } from "./outcome.ts";
import type { PeerAddress, Peers } from "./peers.ts";
import { Proposer } from "./proposer.ts";
import { ReadGate, type Reader } from "./read-gate.ts";
import { Replica, type ReplicaListener } from "./replica.ts";
import { SnapshotReceiver, SnapshotSender } from "./snapshot-transfer.ts";
import type { DurableState, StateMachine } from "./state-machine.ts";

export interface GroupOptions<Result, Query, Answer> {
  readonly group: GroupId;
  /** Folder for checkpoints and incoming snapshots. */
  readonly folder: string;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly machine: StateMachine<Result, Query, Answer>;
  readonly core: CoreFactory;
  readonly wal: WriteAheadLog;
  /** This group's records from the WAL. */
  readonly records: readonly LogRecord[];
  /** Acknowledged records that the WAL has lost and that are, or may be, this group's. */
  readonly damage: readonly WalDamage[];
  readonly peers: Peers;
  /** The members of a new cluster; undefined: this node waits to be added. Ignored once there is any state. */
  readonly bootstrap: Configuration | undefined;
  /** What the member list should say of this node; told to the leader when it says something else. */
  readonly self: { readonly name: string; readonly clientUrls: readonly string[] };
  readonly priority: number;
  readonly limits: Limits;
  readonly timings: Timings;
  readonly snapshotBytesPerSecond: number;
  /** The node cannot go on (a failed disk). Called once. */
  readonly fatal: (error: unknown) => void;
}

const HOUSEKEEPING_MS = 100;
const PUBLISH_RETRY_MS = 2_000;
const APPLY_BUDGET_MS = 20;
const ENTRY_BYTES_MAX = 4 * 1024 * 1024;
const CHECKPOINT_IDLE_MS = 30_000;
const FULL_RETRY_MS = 1_000;
const SNAPSHOT_RETRY_MS = 250;

const refusedReasons = ["not-leader", "overloaded"] as const;
type ForwardRefusal = (typeof refusedReasons)[number];

interface WaitingPart {
  /** Undefined: this node's own. */
  readonly from: NodeId | undefined;
  readonly part: Uint8Array;
}

export class Group<Result, Query, Answer> implements GroupHandle<Result, Query, Answer> {
  readonly #ports: Ports;
  readonly #options: GroupOptions<Result, Query, Answer>;
  readonly #core: ConsensusCore;
  readonly #replica: Replica<Result, Query, Answer>;
  readonly #durable: DurableState;
  readonly #file: CheckpointFile | undefined;
  readonly #proposer: Proposer<Result>;
  readonly #reads: ReadGate;
  readonly #asks: Asks;
  readonly #receiver: SnapshotReceiver;
  readonly #senders = new Map<
    NodeId,
    { readonly sender: SnapshotSender; readonly start: LogIndex; ended: Promise<void> }
  >();
  readonly #strangers = new Map<NodeId, Stranger>();
  readonly #listeners = new Set<() => void>();
  readonly #timers = new Set<Timer>();
  #answer: ((question: Uint8Array, from: NodeId) => Promise<Uint8Array>) | undefined;

  /** Committed and not yet applied. */
  #toApply: LogRecord[] = [];
  /** Sizes of applied entries, for deciding how much log to keep. */
  #recent: { readonly index: LogIndex; readonly bytes: number }[] = [];
  #parts: WaitingPart[] = [];
  /** Newest ticket given to the WAL, and newest one that is durable. */
  #lastTicket = 0;
  #flushedTicket = 0;
  #flushing = false;
  #turnDue = false;
  #wake: { readonly timer: Timer; readonly atMs: number } | undefined;
  #lastLeader: NodeId | undefined;
  #readyLeader = false;
  #coreReads = new Map<number, { readonly from: NodeId | undefined; readonly context: number }>();
  #nextCoreRead = 1;
  #readsAfterInstall: (() => void)[] = [];
  #sessionReads: { readonly number: number; readonly reader: Reader }[] = [];
  #stalled = false;
  #installing = false;
  #checkpointing: Promise<void> | undefined;
  #checkpointed: LogIndex;
  #checkpointedMs: number;
  /** Set when the disk had no room for one. */
  #checkpointAfterMs = 0;
  #snapshotIds = 1;
  #closed = false;
  #publishAtMs = 0;
  /** The log was repaired up to here, but damaged records are still on the disk and would be found again at a restart. */
  #cleanUpTo: LogIndex | undefined;
  #bound: Configuration | undefined;
  readonly #known = new Map<NodeId, PeerAddress>();

  private constructor(
    ports: Ports,
    options: GroupOptions<Result, Query, Answer>,
    parts: {
      readonly replica: Replica<Result, Query, Answer>;
      readonly durable: DurableState;
      readonly file: CheckpointFile | undefined;
      readonly core: ConsensusCore;
    },
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#core = parts.core;
    this.#durable = parts.durable;
    this.#file = parts.file;
    this.#replica = parts.replica;
    this.#checkpointed = this.#replica.applied;
    this.#checkpointedMs = ports.clock.monotonicMs();
    const { limits } = options;
    this.#proposer = new Proposer(
      {
        pendingCommandsMax: limits.pendingCommandsMax,
        pendingBytesMax: limits.pendingBytesMax,
        partBytesMax: 1024 * 1024,
        commandBytesMax: limits.requestBytesMax + 64 * 1024,
      },
      { send: (part) => this.#route(part) },
      () => 1 + ports.random.below(0x1_0000_0000_0000),
    );
    this.#reads = new ReadGate(1 + ports.random.below(0x1_0000_0000));
    this.#asks = new Asks((to, frame) => this.#sendTo(to, frame));
    this.#receiver = new SnapshotReceiver(ports, {
      folder: options.folder,
      wanted: (from, offer) =>
        from === this.#core.leader &&
        offer.term === this.#core.term &&
        offer.start.index > this.#core.commit &&
        !this.#closed,
      install: (snapshot) => this.#install(snapshot),
      send: (to, frame) => void this.#sendTo(to, frame),
    });
  }

  /**
   * Restores the state machine from its last checkpoint, the log from the WAL, and joins the group.
   * Fails with DATA_CORRUPT, DATA_NEWER, GROUP_DAMAGED.
   */
  static async open<Result, Query, Answer>(
    ports: Ports,
    options: GroupOptions<Result, Query, Answer>,
  ): Promise<Group<Result, Query, Answer>> {
    const { machine } = options;
    const file = machine.durable === undefined ? new CheckpointFile(ports, options.folder, machine) : undefined;
    const durable = machine.durable ?? file;
    assert(durable !== undefined, "a machine has a checkpoint of its own or a file");
    const meta = await durable.load();

    const relay = new Relay<Result>(); // the replica is made before the group that listens to it
    const replica = new Replica(machine, { sessionsMax: options.limits.sessionsMax, listener: relay });
    const start: LogStart =
      meta === undefined
        ? { index: logIndex(0), term: 0 as Term, chain: 0, configuration: options.bootstrap ?? EMPTY_CONFIGURATION }
        : replica.restoreMeta(meta);
    const damagedUpTo = findDamage(options, start);
    if (damagedUpTo !== undefined) {
      const voters = incomingVoters(start.configuration);
      if (voters.length === 1 && voters[0] === options.nodeId) {
        throw new AlthingError(
          "GROUP_DAMAGED",
          `Cannot open group ${options.group}: acknowledged log entries are damaged and there is no other copy; restore from a backup`,
          { details: { group: options.group, upTo: damagedUpTo } },
        );
      }
      ports.observer.observe({ type: "log-damaged", level: "warn", group: options.group, upTo: damagedUpTo });
    }
    const { limits, timings } = options;
    const core = options.core(
      {
        id: options.nodeId,
        heartbeatMs: timings.heartbeatMs,
        electionMs: timings.electionMs,
        leaseMs: timings.leaseMs,
        priority: options.priority,
        uncommittedEntriesMax: limits.uncommittedEntriesMax,
        uncommittedBytesMax: limits.uncommittedBytesMax,
        inflightMessagesMax: limits.inflightMessagesMax,
        inflightBytesMax: limits.inflightBytesMax,
        messageBytesMax: 1024 * 1024,
        random: () => ports.random.unit(),
        crc32: (bytes) => ports.kernels.crc32(bytes),
      },
      { start, records: ownCopies(options.records, start.index), damagedUpTo },
      ports.clock.monotonicMs(),
    );
    options.wal.trim(options.group, start.index); // the WAL forgets trims at a restart
    const group = new Group(ports, options, { replica, durable, file, core });
    if (options.damage.length > 0 && damagedUpTo === undefined) {
      let newest: LogIndex = start.index;
      for (const { kind, index } of options.records) if (!isSticky(kind) && index > newest) newest = index;
      group.#cleanUpTo = newest; // harmless, but it would be found again at each start
    }
    const proposer = group.#proposer;
    relay.target = {
      sessionOpened: (nonce, session) => proposer.sessionOpened(nonce, session),
      executed: (session, sequence, index, result) =>
        proposer.executed(session, sequence, index, result, ports.clock.monotonicMs()),
      outOfSequence: (session) => proposer.outOfSequence(session),
      noSession: (session) => proposer.noSession(session),
    };
    group.#begin();
    return group;
  }

  #begin(): void {
    const { peers, group } = this.#options;
    peers.register(group, {
      frame: (from, frame, isStranger) => this.#frame(from, frame, isStranger),
      connected: (peer) => this.#peerConnected(peer),
      lost: (peer) => this.#peerLost(peer),
      stranger: (peer, met) => this.#noteStranger(peer, met),
    });
    for (const { kind, body } of this.#options.records) {
      if (kind === RecordKind.configuration) this.#remember(decodeConfiguration(body));
    }
    this.#followConfiguration(this.#core.status().configuration);
    this.#housekeeping();
    this.#arm();
    this.#step({ type: "tick" });
  }

  // ---------------------------------------------------------------- GroupHandle: state

  get nodeId(): NodeId {
    return this.#options.nodeId;
  }

  get leader(): NodeId | undefined {
    return this.#core.leader;
  }

  get isLeader(): boolean {
    return this.#core.role === "leader";
  }

  get isReadyLeader(): boolean {
    return this.#readyLeader && this.isLeader;
  }

  get term(): Term {
    return this.#core.term;
  }

  get applied(): LogIndex {
    return this.#replica.applied;
  }

  get members(): readonly Member[] {
    return this.#core.status().configuration.members;
  }

  status(): GroupStatus {
    return {
      ...this.#core.status(),
      nodeId: this.nodeId,
      applied: this.applied,
      checkpoint: this.#checkpointed,
      sessions: this.#replica.sessions.size,
      pendingCommands: this.#proposer.pendingCommands,
      pendingBytes: this.#proposer.pendingBytes,
      diskFull: !this.#options.wal.hasRoom,
      damaged: this.#core.status().damaged || this.#options.wal.isDamaged,
    };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  // ---------------------------------------------------------------- GroupHandle: writes

  propose(command: Uint8Array, options: CallOptions = {}): Promise<Outcome<Result>> {
    return new Promise((resolve) => this.submit(command, resolve, options));
  }

  submit(command: Uint8Array, done: (outcome: Outcome<Result>) => void, options: CallOptions = {}): void {
    const nowMs = this.#ports.clock.monotonicMs();
    const deadlineMs = nowMs + (options.timeoutMs ?? this.#options.timings.callTimeoutMs);
    // Only here: what other nodes forward goes on until the alarm that the layer above raises stops it everywhere.
    const full = options.urgent !== true && this.isLeader && !this.#options.wal.hasRoom;
    const reason = full ? "disk-full" : this.#proposer.submit(command, done, { ...options, deadlineMs });
    if (reason === undefined) {
      this.#turn();
      return;
    }
    const leader = this.leader;
    this.#ports.clock.afterTurn(() => done({ type: "rejected", reason, leader }));
  }

  /** Parts gather until the end of the turn and become one entry. */
  #route(part: Uint8Array): boolean {
    const { leader } = this;
    if (leader === undefined) return false;
    if (leader !== this.nodeId) return this.#sendTo(leader, { type: "forward", part });
    this.#parts.push({ from: undefined, part });
    return true;
  }

  #proposeParts(): void {
    if (isUnbound(this.#bound ?? EMPTY_CONFIGURATION)) return; // M2: they wait for the entry that binds the voters
    while (this.#parts.length > 0) {
      const taken: WaitingPart[] = [];
      let bytes = 0;
      for (const waiting of this.#parts) {
        if (taken.length > 0 && bytes + waiting.part.length > ENTRY_BYTES_MAX) break;
        taken.push(waiting);
        bytes += waiting.part.length;
      }
      this.#parts.splice(0, taken.length);
      const body = taken.length === 1 ? (taken[0]?.part ?? EMPTY_BYTES) : concatBytes(taken.map((t) => t.part));
      const waiting = taken.flatMap((t) => t.from ?? []);
      const outcome = this.#step({ type: "propose", body, bodyCrc: this.#ports.kernels.crc32(body), waiting });
      assert(outcome !== undefined, "a proposal has an outcome");
      if (outcome.type === "refused")
        this.#refuseParts(taken, outcome.reason === "overloaded" ? "overloaded" : "not-leader");
    }
  }

  #refuseParts(parts: readonly WaitingPart[], reason: ForwardRefusal): void {
    for (const { from } of parts) {
      if (from === undefined) this.#proposer.resend();
      else this.#sendTo(from, { type: "forward-refused", reason: refusedReasons.indexOf(reason) });
    }
  }

  #forwarded(from: NodeId, part: Uint8Array): void {
    if (!this.isLeader) this.#refuseParts([{ from, part }], "not-leader");
    else if (!isReadable(part)) {
      // In the log it would stop every replica, again and again.
      this.#ports.observer.observe({ type: "part-unreadable", level: "warn", group: this.#options.group, from });
    } else {
      this.#parts.push({ from, part });
      this.#turn();
    }
  }

  #forwardRefused(): void {
    // Sent again by housekeeping or by the next change of leader: at once would be a storm.
    this.#proposer.resend();
  }

  // ---------------------------------------------------------------- GroupHandle: reads

  query(query: Query): Answer {
    return this.#replica.machine.query(query);
  }

  read(query: Query, options: CallOptions & { readonly level: ReadLevel }): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const ready = (error: AlthingError | undefined): void => {
        if (error !== undefined) reject(error);
        else resolve(this.query(query));
      };
      this.whenReadable(options.level, ready, options);
    });
  }

  whenReadable(level: ReadLevel, ready: (error: AlthingError | undefined) => void, options: CallOptions = {}): void {
    const deadlineMs = this.#ports.clock.monotonicMs() + (options.timeoutMs ?? this.#options.timings.callTimeoutMs);
    const reader: Reader = { ready, deadlineMs, signal: options.signal };
    if (this.#closed) {
      this.#ports.clock.afterTurn(() => ready(closedError()));
    } else if (level === "stale") {
      this.#ports.clock.afterTurn(() => this.#whenWhole(reader));
    } else if (level === "session") {
      this.#sessionReads.push({ number: this.#proposer.nextNumber, reader });
      this.#turn();
    } else if (level === "lease" && this.#leaseHolds()) {
      // Checked again when the answer leaves: a pause may have ended the lease in between.
      this.#ports.clock.afterTurn(() => (this.#leaseHolds() ? ready(undefined) : this.#gate(reader)));
    } else {
      this.#gate(reader);
    }
  }

  /** While a snapshot is being installed the machine holds neither the old state nor the new one. */
  #whenWhole(reader: Reader): void {
    if (this.#closed) reader.ready(closedError());
    else if (this.#installing) this.#readsAfterInstall.push(() => this.#whenWhole(reader));
    else reader.ready(undefined);
  }

  #leaseHolds(): boolean {
    return (
      this.#core.leaseHolds(this.#ports.clock.monotonicMs()) && this.applied >= this.#core.commit && !this.#installing
    );
  }

  #gate(reader: Reader): void {
    this.#reads.add(reader);
    this.#turn();
  }

  #sendReads(): void {
    const { leader } = this;
    if (leader === undefined || !this.#reads.wants) return;
    if (leader !== this.nodeId) {
      if (!this.#options.peers.isConnected(leader)) return;
      const context = this.#reads.begin(this.#ports.clock.monotonicMs());
      this.#sendTo(leader, { type: "read", context });
      return;
    }
    const context = this.#reads.begin(this.#ports.clock.monotonicMs());
    this.#askCore(undefined, context);
  }

  #askCore(from: NodeId | undefined, context: number): void {
    const id = this.#nextCoreRead++;
    this.#coreReads.set(id, { from, context });
    this.#step({ type: "read", context: id });
  }

  #granted(id: number, index: LogIndex | undefined): void {
    const read = this.#coreReads.get(id);
    if (read === undefined) return;
    this.#coreReads.delete(id);
    if (read.from === undefined) this.#readGranted(read.context, index);
    else this.#sendTo(read.from, { type: "read-grant", context: read.context, index: index ?? logIndex(0) });
  }

  #readGranted(context: number, index: LogIndex | undefined): void {
    this.#reads.granted(context, index, this.#installing ? logIndex(0) : this.applied);
    if (this.#reads.wants && index !== undefined) this.#turn();
  }

  // ---------------------------------------------------------------- GroupHandle: members, questions, snapshots

  async changeMembers(
    change: (members: readonly Member[]) => readonly Member[],
    options: CallOptions = {},
  ): Promise<void> {
    await this.#control(options, { repeatable: false }, () => {
      const { configuration } = this.#core.status();
      return encodeChange(this.#checksum(configuration), change(configuration.members));
    });
  }

  async transferLeader(to: NodeId, options: CallOptions = {}): Promise<void> {
    await this.#control(options, { repeatable: true }, () => encodeTransfer(to));
  }

  /**
   * Asks the leader until it agrees, the reason to refuse is final, or the time is over. What may have happened is asked
   * for again only if twice is as good as once: a change of members made from the outcome of itself is another change.
   */
  async #control(
    options: CallOptions,
    kind: { readonly repeatable: boolean },
    question: () => Uint8Array,
  ): Promise<void> {
    const { clock } = this.#ports;
    const deadlineMs = clock.monotonicMs() + (options.timeoutMs ?? this.#options.timings.callTimeoutMs);
    for (;;) {
      options.signal?.throwIfAborted();
      try {
        await this.#askNode(this.leader, question(), { control: true, deadlineMs, signal: options.signal });
        return;
      } catch (error) {
        const retry = error instanceof AlthingError ? error.retry : "never";
        const again = retry === "safe" || (retry === "unsafe" && kind.repeatable);
        if (!again || clock.monotonicMs() >= deadlineMs || this.#closed) throw error;
      }
      await sleep(clock, this.#options.timings.heartbeatMs);
    }
  }

  askLeader(question: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return this.#askNode(this.leader, question, this.#askOptions(options));
  }

  ask(node: NodeId, question: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return this.#askNode(node, question, this.#askOptions(options));
  }

  onAsk(answer: (question: Uint8Array, from: NodeId) => Promise<Uint8Array>): void {
    this.#answer = answer;
  }

  #askOptions(options: CallOptions): { control: false; deadlineMs: number; signal: AbortSignal | undefined } {
    const deadlineMs = this.#ports.clock.monotonicMs() + (options.timeoutMs ?? this.#options.timings.callTimeoutMs);
    return { control: false, deadlineMs, signal: options.signal };
  }

  #askNode(
    to: NodeId | undefined,
    question: Uint8Array,
    options: { readonly control: boolean; readonly deadlineMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<Uint8Array> {
    if (this.#closed) return Promise.reject(closedError());
    if (to === undefined)
      return Promise.reject(new AlthingError("GROUP_NO_LEADER", "Cannot ask the leader: none is known"));
    if (to === this.nodeId) return this.#work(this.nodeId, question, options.control);
    return this.#asks.ask(to, question, options);
  }

  #checksum(configuration: Configuration): number {
    return this.#ports.kernels.crc32(encodeConfiguration(configuration));
  }

  async #work(from: NodeId, question: Uint8Array, control: boolean): Promise<Uint8Array> {
    if (!control) {
      if (this.#answer === undefined)
        throw new AlthingError("REQUEST_INVALID", "Cannot answer: this node takes no questions");
      return this.#answer(question, from);
    }
    const wish = decodeControl(question);
    if (wish.type === "transfer") return this.#workTransfer(nodeId(wish.to));
    if (wish.base !== this.#checksum(this.#core.status().configuration)) {
      throw new AlthingError("NOT_LEADER", "Cannot change the members: they have changed meanwhile");
    }
    return this.#workChange(wish.members);
  }

  async #workChange(members: readonly Member[]): Promise<Uint8Array> {
    const outcome = this.#step({ type: "change", members });
    assert(outcome !== undefined, "a change has an outcome");
    if (outcome.type === "refused") throw mapRefusal(outcome, "change the members");
    const deadlineMs = this.#ports.clock.monotonicMs() + this.#options.timings.callTimeoutMs;
    for (;;) {
      const status = this.#core.status();
      if (
        status.commit >= status.configurationIndex &&
        status.configurationIndex >= outcome.index &&
        !isJoint(status.configuration)
      ) {
        return EMPTY_BYTES;
      }
      if (this.#ports.clock.monotonicMs() >= deadlineMs || this.#closed || status.term !== outcome.term) {
        throw new AlthingError(
          "OUTCOME_UNKNOWN",
          "Cannot say whether the members changed: it was not settled in time; ask for the list",
        );
      }
      await sleep(this.#ports.clock, 10);
    }
  }

  async #workTransfer(to: NodeId): Promise<Uint8Array> {
    if (to === this.nodeId && this.isLeader) return EMPTY_BYTES;
    const outcome = this.#step({ type: "transfer", to });
    assert(outcome !== undefined, "a transfer has an outcome");
    if (outcome.type === "refused") throw mapRefusal(outcome, "move the leadership");
    const deadlineMs = this.#ports.clock.monotonicMs() + 2 * this.#options.timings.electionMs;
    while (this.#ports.clock.monotonicMs() < deadlineMs && !this.#closed) {
      if (this.leader === to) return EMPTY_BYTES;
      await sleep(this.#ports.clock, 10);
    }
    throw new AlthingError("TIMEOUT", `Cannot move the leadership to node ${to}: it did not take over in time`);
  }

  exportSnapshot(): { readonly index: LogIndex; readonly chunks: AsyncIterable<Uint8Array>; close(): void } {
    const snapshot = this.#replica.machine.snapshot();
    return { index: this.applied, chunks: snapshot.chunks(), close: () => snapshot.close() };
  }

  checkpoint(): Promise<void> {
    this.#checkpointing ??= this.#checkpointNow().finally(() => {
      this.#checkpointing = undefined;
    });
    return this.#checkpointing;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.isLeader) await this.#handOver();
    if (this.#closed) return;
    await this.checkpoint().catch(() => undefined); // only saves the next start some work
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#wake?.timer.cancel();
    this.#proposer.close();
    this.#reads.close(closedError());
    for (const { reader } of this.#sessionReads) reader.ready(closedError());
    this.#sessionReads = [];
    for (const read of this.#readsAfterInstall.splice(0)) read(); // tells them that it is closed
    this.#asks.close();
    for (const { sender } of this.#senders.values()) sender.stop();
    await Promise.all([...this.#senders.values()].map(({ ended }) => ended)); // each holds a view of the state
    await this.#receiver.close();
    await this.#checkpointing?.catch(() => undefined);
  }

  /** A leader that leaves on purpose gives its place away first, so that nobody waits for an election timeout. */
  async #handOver(): Promise<void> {
    const heirs = incomingVoters(this.#core.status().configuration).filter(
      (id) => id !== this.nodeId && this.#options.peers.isConnected(id),
    );
    const peers = new Map(this.#core.status().peers.map((p) => [p.peer, p.match]));
    heirs.sort((a, b) => (peers.get(b) ?? 0) - (peers.get(a) ?? 0));
    const [heir] = heirs;
    if (heir !== undefined) await this.#workTransfer(heir).catch(() => undefined);
  }

  // ---------------------------------------------------------------- the turn

  #turn(): void {
    if (this.#turnDue || this.#closed) return;
    this.#turnDue = true;
    this.#ports.clock.afterTurn(() => {
      this.#turnDue = false;
      if (!this.#closed) this.#endOfTurn();
    });
  }

  #endOfTurn(): void {
    const nowMs = this.#ports.clock.monotonicMs();
    if (this.leader !== undefined && this.#proposer.wants) this.#proposer.flush(nowMs);
    if (this.#parts.length > 0) this.#proposeParts();
    this.#sendReads();
    this.#applySome();
    this.#releaseSessionReads();
    this.#flush();
    this.#arm();
  }

  #step(input: Input): StepOutcome | undefined {
    const effects = this.#core.step(input, this.#ports.clock.monotonicMs());
    this.#carryOut(effects);
    return effects.outcome;
  }

  /** H1. */
  #carryOut(effects: Effects): void {
    if (effects.persist !== undefined) {
      this.#options.wal.append(this.#options.group, effects.persist.records);
      this.#lastTicket = effects.persist.ticket;
      this.#turn();
    }
    for (const { to, frame } of effects.send) this.#sendTo(to, { type: "consensus", frame });
    if (effects.committed.length > 0) {
      for (const entry of effects.committed) this.#toApply.push(entry);
      this.#applySome();
    }
    for (const { context, index } of effects.reads) this.#granted(context, index);
    for (const event of effects.events) this.#event(event);
    if (this.leader !== this.#lastLeader) this.#leaderChanged();
    this.#checkReady();
    if (this.#wake === undefined || this.#core.deadlineMs < this.#wake.atMs) this.#turn();
  }

  #flush(): void {
    if (this.#flushing || this.#lastTicket === this.#flushedTicket) return;
    this.#flushing = true;
    const ticket = this.#lastTicket;
    this.#options.wal
      .flush()
      .then(
        () => {
          this.#flushing = false;
          this.#flushedTicket = ticket;
          if (this.#closed) return;
          this.#step({ type: "durable", ticket });
          this.#flush(); // what gathered meanwhile goes at once
        },
        (error: unknown) => {
          if (!this.#closed) this.#options.fatal(error); // H3
        },
      )
      .catch((error: unknown) => this.#options.fatal(error));
  }

  #arm(): void {
    if (this.#closed) return;
    const atMs = this.#core.deadlineMs;
    if (this.#wake?.atMs === atMs) return;
    this.#wake?.timer.cancel();
    this.#wake = undefined;
    if (!Number.isFinite(atMs)) return;
    const delayMs = Math.max(0, atMs - this.#ports.clock.monotonicMs());
    const timer = this.#ports.clock.timer(delayMs, () => {
      this.#wake = undefined;
      if (this.#closed) return;
      this.#step({ type: "tick" });
      this.#arm();
    });
    this.#wake = { timer, atMs };
  }

  #housekeeping(): void {
    this.#timer(HOUSEKEEPING_MS, () => {
      this.#housekeeping();
      const nowMs = this.#ports.clock.monotonicMs();
      this.#watchDisk();
      this.#proposer.expire(nowMs);
      this.#reads.expire(nowMs);
      this.#asks.expire(nowMs);
      const patienceMs = 2 * this.#options.timings.electionMs;
      if (this.#proposer.isStuck(nowMs, patienceMs)) this.#proposer.resend();
      this.#reads.retry(nowMs - patienceMs);
      this.#tend();
      this.#publish(nowMs);
      this.#keepCheckpoints(nowMs);
      if (this.#proposer.wants || this.#reads.wants) this.#turn();
      this.#expireSessionReads(nowMs);
    });
  }

  #watchDisk(): void {
    if (!this.#flushing) {
      // An error beside the batches (the next segment, a folder) is told by the next flush only, and an idle node has none.
      this.#options.wal.flush().catch((error: unknown) => {
        if (!this.#closed) this.#options.fatal(error); // H3
      });
    }
    const stalled = this.#options.wal.oldestOpenMs() > this.#options.timings.diskStallMs;
    if (stalled === this.#stalled) return;
    this.#stalled = stalled;
    this.#ports.observer.observe({
      type: stalled ? "disk-stalled" : "disk-recovered",
      level: "warn",
      group: this.#options.group,
    });
    this.#step({ type: "disk", stalled });
  }

  #timer(delayMs: number, callback: () => void): void {
    const timer = this.#ports.clock.timer(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#closed) callback();
    });
    this.#timers.add(timer);
  }

  // ---------------------------------------------------------------- applying

  #applySome(): void {
    if (this.#installing || this.#toApply.length === 0) return;
    const untilMs = this.#ports.clock.monotonicMs() + APPLY_BUDGET_MS;
    let done = 0;
    for (const entry of this.#toApply) {
      if (done > 0 && this.#ports.clock.monotonicMs() >= untilMs) break;
      this.#apply(entry);
      this.#recent.push({ index: entry.index, bytes: entry.body.length });
      this.#file?.note(entry.body.length);
      done++;
    }
    this.#toApply = done === this.#toApply.length ? [] : this.#toApply.slice(done);
    this.#reads.applied(this.applied);
    this.#releaseSessionReads();
    this.#checkReady();
    if (this.#toApply.length > 0 || this.#proposer.wants) this.#turn();
  }

  /** What a link takes for a bad frame must not come from in here. */
  #apply(entry: LogRecord): void {
    try {
      this.#replica.apply(entry);
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      throw new AssertionError("a committed entry can be read", { index: entry.index, why: error.message });
    }
  }

  #releaseSessionReads(): void {
    if (this.#sessionReads.length === 0 || this.#installing) return;
    const due = this.#sessionReads.filter((s) => s.number <= this.#proposer.answeredBelow);
    if (due.length === 0) return;
    this.#sessionReads = this.#sessionReads.filter((s) => s.number > this.#proposer.answeredBelow);
    for (const { reader } of due) reader.ready(undefined);
  }

  #expireSessionReads(nowMs: number): void {
    const late = this.#sessionReads.filter((s) => nowMs >= s.reader.deadlineMs || s.reader.signal?.aborted === true);
    if (late.length === 0) return;
    this.#sessionReads = this.#sessionReads.filter((s) => !late.includes(s));
    for (const { reader } of late) {
      const isAborted = reader.signal?.aborted === true;
      reader.ready(
        isAborted
          ? new AlthingError("ABORTED", "Cannot read: the caller gave up")
          : new AlthingError("TIMEOUT", "Cannot read: own writes were not settled in time"),
      );
    }
  }

  #checkReady(): void {
    const ready = this.isLeader && !this.#installing && this.#toApply.length === 0 && this.#ownTermApplied();
    if (ready === this.#readyLeader) return;
    this.#readyLeader = ready || (this.#readyLeader && this.isLeader); // once ready, until the leadership ends
    if (ready || !this.isLeader) this.#changed();
    if (ready && isUnbound(this.#bound ?? EMPTY_CONFIGURATION)) {
      this.#ports.clock.afterTurn(() => void (this.#closed || this.#tend()));
    }
  }

  #ownTermApplied(): boolean {
    return this.#core.startAt(this.applied)?.term === this.#core.term;
  }

  // ---------------------------------------------------------------- checkpoints and snapshots

  /** H3: a full disk is no reason to stop; the log holds what is in no checkpoint yet. */
  #keepCheckpoints(nowMs: number): void {
    if (nowMs < this.#checkpointAfterMs) return;
    const isDirty = this.#cleanUpTo !== undefined && this.applied >= this.#cleanUpTo;
    let work: Promise<void>;
    if (isDirty && this.#checkpointing === undefined) work = this.#cleanLog();
    else if (this.#checkpointDue(nowMs)) work = this.checkpoint();
    else return;
    work.catch((error: unknown) => {
      if (!hasCode(error, "DISK_FULL")) return this.#options.fatal(error);
      this.#checkpointAfterMs = this.#ports.clock.monotonicMs() + FULL_RETRY_MS;
      this.#ports.observer.observe({ type: "checkpoint-waits", level: "warn", group: this.#options.group });
    });
  }

  #checkpointDue(nowMs: number): boolean {
    if (this.#checkpointing !== undefined || this.#installing || this.applied === this.#checkpointed) return false;
    const dirty = this.#durable.dirtyBytes();
    return dirty > this.#options.limits.dirtyBytesMax || nowMs - this.#checkpointedMs > CHECKPOINT_IDLE_MS;
  }

  async #checkpointNow(): Promise<void> {
    if (this.#installing || this.applied === this.#checkpointed) return;
    const start = this.#core.startAt(this.applied);
    assert(start !== undefined, "H2: the applied point is in the log", { applied: this.applied });
    await this.#durable.checkpoint(this.#replica.encodeMeta(start));
    this.#checkpointed = start.index;
    this.#checkpointedMs = this.#ports.clock.monotonicMs();
    this.#ports.observer.observe({ type: "checkpoint", group: this.#options.group, index: start.index });
    if (!this.#closed) this.#trim(start.index);
  }

  /** Lets the WAL recycle the segments with the damage: everything in them is in the checkpoint or behind it. */
  async #cleanLog(): Promise<void> {
    await this.checkpoint();
    if (this.#closed || this.#cleanUpTo === undefined || this.#checkpointed < this.#cleanUpTo) return;
    this.#cleanUpTo = undefined;
    this.#options.wal.trim(this.#options.group, this.#checkpointed);
  }

  /** Shortens the log to the checkpoint, less a tail for followers that lag. */
  #trim(checkpoint: LogIndex): void {
    let kept = 0;
    let keepFrom = this.#recent.length;
    while (keepFrom > 0) {
      const entry = this.#recent[keepFrom - 1];
      if (entry === undefined || (kept + entry.bytes > this.#options.limits.logBytesKept && entry.index <= checkpoint))
        break;
      kept += entry.bytes;
      keepFrom--;
    }
    const last = this.#recent[keepFrom - 1];
    if (last === undefined) return;
    // A follower that has taken a snapshot needs what comes after it: without that it would need another one, and another.
    const needed = Math.min(...[...this.#senders.values()].map((s) => s.start));
    const start = this.#core.startAt(logIndex(Math.min(last.index, checkpoint, needed)));
    if (start === undefined) return;
    this.#recent = this.#recent.slice(keepFrom);
    this.#step({ type: "trim", start });
    this.#options.wal.trim(this.#options.group, start.index);
  }

  #sendSnapshot(peer: NodeId): void {
    if (this.#senders.has(peer) || this.#closed) return;
    if (this.#installing) {
      // Our own state is being replaced: there is nothing whole to send. The core will ask again.
      const index = this.applied;
      this.#timer(SNAPSHOT_RETRY_MS, () => this.#step({ type: "snapshot-sent", peer, index, ok: false }));
      return;
    }
    const start = this.#core.startAt(this.applied);
    assert(start !== undefined, "H2: the applied point is in the log", { applied: this.applied });
    const meta = this.#replica.encodeMeta(start);
    const snapshot = this.#replica.machine.snapshot();
    const id = this.#ports.random.below(0x1_0000_0000) * 0x10_0000 + (this.#snapshotIds++ % 0x10_0000);
    const sender = new SnapshotSender(this.#ports.clock, {
      id,
      term: this.#core.term,
      source: { start, meta, chunks: () => snapshot.chunks(), close: () => snapshot.close() },
      bytesPerSecond: this.#options.snapshotBytesPerSecond,
      crc32: (bytes) => this.#ports.kernels.crc32(bytes),
      send: (frame) => this.#sendTo(peer, frame),
    });
    const sending = { sender, start: start.index, ended: Promise.resolve() };
    this.#senders.set(peer, sending);
    this.#ports.observer.observe({
      type: "snapshot-sending",
      group: this.#options.group,
      to: peer,
      index: start.index,
    });
    sending.ended = sender
      .run()
      .then((ok) => {
        this.#senders.delete(peer);
        this.#ports.observer.observe({
          type: "snapshot-sent",
          group: this.#options.group,
          to: peer,
          index: start.index,
          ok,
        });
        const tell = (): void => void this.#step({ type: "snapshot-sent", peer, index: start.index, ok });
        if (this.#closed) return;
        if (ok) tell();
        else this.#timer(SNAPSHOT_RETRY_MS, tell); // the core will want another one at once
      })
      .catch((error: unknown) => this.#options.fatal(error));
  }

  async #install(snapshot: {
    readonly start: LogStart;
    readonly meta: Uint8Array;
    readonly chunks: AsyncIterable<Uint8Array>;
  }): Promise<void> {
    this.#installing = true; // and for ever, if it fails: nothing may be applied to, read from or saved of what is left
    await this.#checkpointing?.catch(() => undefined);
    if (snapshot.start.index <= this.#core.commit) {
      this.#installed(); // entries of another leader have overtaken it: what is applied never goes back
      return;
    }
    const { machine } = this.#replica;
    await machine.restore(snapshot.chunks);
    const start = this.#replica.restoreMeta(snapshot.meta);
    await this.#checkpointWithPatience(snapshot.meta); // before the WAL forgets what it replaces
    this.#checkpointed = start.index;
    this.#checkpointedMs = this.#ports.clock.monotonicMs();
    this.#recent = [];
    this.#toApply = this.#toApply.filter((entry) => entry.index > start.index);
    this.#ports.observer.observe({ type: "snapshot-installed", group: this.#options.group, index: start.index });
    this.#installed();
    const { sessions } = this.#replica;
    this.#proposer.restored(
      (id) => (sessions.has(id) ? sessions.last(id) : undefined),
      (id, sequence) => sessions.result(id, sequence),
      this.applied,
      this.#ports.clock.monotonicMs(),
    );
    this.#step({ type: "installed", start: snapshot.start });
    this.#options.wal.trim(this.#options.group, snapshot.start.index);
    this.#reads.applied(this.applied);
  }

  #installed(): void {
    this.#installing = false;
    for (const read of this.#readsAfterInstall.splice(0)) this.#ports.clock.afterTurn(read);
    this.#turn();
  }

  /** A full disk passes; until then the node applies nothing, and the log keeps what the snapshot replaces. */
  async #checkpointWithPatience(meta: Uint8Array): Promise<void> {
    for (;;) {
      try {
        await this.#durable.checkpoint(meta);
        return;
      } catch (error) {
        if (!hasCode(error, "DISK_FULL") || this.#closed) throw error;
        this.#ports.observer.observe({ type: "checkpoint-waits", level: "warn", group: this.#options.group });
      }
      await sleep(this.#ports.clock, FULL_RETRY_MS);
    }
  }

  // ---------------------------------------------------------------- peers

  #sendTo(to: NodeId, frame: PeerFrame): boolean {
    return this.#options.peers.send(to, this.#options.group, frame);
  }

  /** Fresh evidence only: what was true of an earlier configuration may have been settled by another leader. */
  #noteStranger(peer: NodeId, met: Incarnation | undefined): void {
    const insteadOf = this.#known.get(peer)?.incarnation ?? 0;
    if (met !== undefined && met !== insteadOf) this.#strangers.set(peer, { met, insteadOf });
  }

  #frame(from: NodeId, frame: PeerFrame, isStranger: boolean): void {
    if (this.#closed) return;
    if (isStranger) this.#noteStranger(from, this.#options.peers.incarnationOf(from));
    switch (frame.type) {
      case "consensus":
        this.#step({ type: "message", from, frame: frame.frame, isStranger });
        return;
      case "forward":
        this.#forwarded(from, frame.part);
        return;
      case "forward-refused":
        this.#forwardRefused();
        return;
      case "read":
        if (this.isLeader) this.#askCore(from, frame.context);
        else this.#sendTo(from, { type: "read-grant", context: frame.context, index: logIndex(0) });
        return;
      case "read-grant":
        this.#readGranted(frame.context, frame.index === 0 ? undefined : frame.index);
        return;
      case "ask":
        this.#asks.reply(from, frame.id, this.#work(from, frame.question.slice(), frame.control));
        return;
      case "answer":
        this.#asks.answered(frame);
        return;
      case "snapshot-offer":
      case "snapshot-chunk":
        this.#receiver.handle(from, frame).catch((error: unknown) => {
          if (!this.#closed) this.#options.fatal(error);
        });
        return;
      case "snapshot-progress":
        this.#senders.get(from)?.sender.onProgress(frame);
        return;
    }
  }

  #peerConnected(peer: NodeId): void {
    if (this.#closed) return;
    if (peer === this.leader) {
      this.#proposer.resend(); // what was on its way over the old connection is lost
      this.#reads.retry();
    }
    this.#turn();
  }

  #peerLost(peer: NodeId): void {
    if (this.#closed) return;
    this.#asks.lost(peer);
    this.#step({ type: "peer-lost", peer });
    this.#arm();
  }

  // ---------------------------------------------------------------- events of the core

  #event(event: CoreEvent): void {
    const { group } = this.#options;
    switch (event.type) {
      case "role":
        this.#ports.observer.observe({ ...event, type: "role", level: "info", group, node: this.nodeId });
        return;
      case "configuration":
        this.#ports.observer.observe({
          type: "configuration",
          level: "info",
          group,
          index: event.index,
          committed: event.committed,
          voters: incomingVoters(event.configuration),
          outgoing: event.configuration.outgoing,
        });
        this.#followConfiguration(event.configuration);
        return;
      case "need-snapshot":
        this.#sendSnapshot(event.peer);
        return;
      case "repaired":
        this.#ports.observer.observe({ ...event, type: "log-repaired", level: "info", group });
        this.#cleanUpTo = event.upTo;
        return;
      case "stuck":
        this.#ports.observer.observe({ ...event, type: `log-${event.type}`, level: "info", group });
        return;
      case "truncated":
        this.#followConfiguration(this.#core.status().configuration); // the one in force may have been cut off
        this.#ports.observer.observe({ ...event, type: `log-${event.type}`, level: "debug", group });
        return;
      case "ignored":
        this.#ports.observer.observe({ ...event, type: `log-${event.type}`, level: "debug", group });
        return;
    }
  }

  #followConfiguration(configuration: Configuration): void {
    if (configuration === this.#bound) return;
    this.#bound = configuration;
    const wanted = this.#remember(configuration);
    // Voters that are being left still decide, also among themselves: two of them may be what a majority of them needs.
    for (const id of configuration.outgoing) {
      const leaving = this.#known.get(id);
      if (leaving !== undefined && !wanted.some((peer) => peer.id === id)) wanted.push(leaving);
    }
    this.#options.peers.setPeers(wanted);
    this.#changed();
    if (this.#parts.length > 0) this.#turn();
  }

  /** A joint configuration names the voters that it leaves by id only; where they are, earlier ones have told. */
  #remember(configuration: Configuration): PeerAddress[] {
    const members = configuration.members.map(({ id, address, incarnation }) => ({ id, address, incarnation }));
    for (const member of members) this.#known.set(member.id, member);
    return members;
  }

  #leaderChanged(): void {
    this.#lastLeader = this.leader;
    this.#proposer.resend();
    this.#reads.retry();
    if (!this.isLeader) {
      for (const { sender } of this.#senders.values()) sender.stop();
      for (const part of this.#parts.splice(0)) this.#refuseParts([part], "not-leader");
    }
    this.#changed();
    this.#turn();
  }

  /** A node that was added by its address only, or has moved, tells its name and where clients find it. */
  #publish(nowMs: number): void {
    if (nowMs < this.#publishAtMs || this.leader === undefined) return;
    const { nodeId: id } = this;
    const { name, clientUrls } = this.#options.self;
    const mine = this.members.find((m) => m.id === id);
    if (mine === undefined || mine.incarnation !== this.#options.incarnation) return; // not yet this folder's to tell
    if (mine.name === name && sameTexts(mine.clientUrls, clientUrls)) return;
    this.#publishAtMs = nowMs + PUBLISH_RETRY_MS;
    const change = (members: readonly Member[]): readonly Member[] =>
      members.map((m) => (m.id === id ? { ...m, name, clientUrls } : m));
    this.changeMembers(change, { timeoutMs: PUBLISH_RETRY_MS }).catch(() => undefined); // tried again
  }

  #tend(): void {
    if (!this.isReadyLeader) return;
    tendMembers(
      {
        nodeId: this.nodeId,
        incarnation: this.#options.incarnation,
        isReadyLeader: this.isReadyLeader,
        configuration: () => {
          const { configuration, configurationIndex, commit } = this.#core.status();
          return { configuration, index: configurationIndex, committed: configurationIndex <= commit };
        },
        incarnationOf: (id) => this.#options.peers.incarnationOf(id),
        change: (members) => {
          const outcome = this.#step({ type: "change", members });
          assert(outcome !== undefined, "a change has an outcome");
          return outcome;
        },
      },
      this.#strangers,
    );
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Passes on what a replica tells, once there is somebody to tell; before that there are no commands of this node. */
class Relay<Result> implements ReplicaListener<Result> {
  target: ReplicaListener<Result> | undefined;

  sessionOpened(nonce: number, session: SessionId, index: LogIndex): void {
    this.target?.sessionOpened(nonce, session, index);
  }

  executed(session: SessionId, sequence: number, index: LogIndex, result: Result): void {
    this.target?.executed(session, sequence, index, result);
  }

  outOfSequence(session: SessionId, expected: number): void {
    this.target?.outOfSequence(session, expected);
  }

  noSession(session: SessionId): void {
    this.target?.noSession(session);
  }
}

function isReadable(part: Uint8Array): boolean {
  try {
    for (const _ of decodeParts(part)) continue;
    return true;
  } catch (error) {
    if (error instanceof BytesError) return false;
    throw error;
  }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

function closedError(): AlthingError {
  return new AlthingError("CLOSED", "Cannot reach the group: the node is shutting down");
}

/** Reasons that pass by themselves are told as retryable codes. */
function mapRefusal(outcome: Extract<StepOutcome, { type: "refused" }>, what: string): AlthingError {
  const { error, retry } = refusal(outcome, what);
  return retry ? new AlthingError("NOT_LEADER", error.message) : error;
}

/** Recovered bodies are views that would keep whole WAL segments in memory: what stays in the log gets bytes of its own. */
function ownCopies(records: readonly LogRecord[], after: LogIndex): readonly LogRecord[] {
  return records.map((r) =>
    isSticky(r.kind) || r.index > after ? { ...r, body: r.body.slice() } : { ...r, body: EMPTY_BYTES },
  );
}

/**
 * The last index that may have been acknowledged, if any of the records up to it is missing; R7 of the core. A record whose
 * header is lost too may have been one more at the end.
 */
function findDamage(
  options: Pick<GroupOptions<unknown, unknown, unknown>, "records" | "damage">,
  start: LogStart,
): LogIndex | undefined {
  let last: number = start.index;
  // What the checkpoint holds is not missing, however it looks in the log.
  let hole = options.damage.some(({ record }) => {
    return record === undefined || record.kind >= 16 || record.index > start.index;
  });
  let newest: number = start.index;
  for (const record of options.records) {
    if (record.kind === RecordKind.start && record.index > start.index) {
      hole = true; // the checkpoint that it stands for is gone
      newest = Math.max(newest, record.index);
    }
    if (isSticky(record.kind)) continue;
    newest = Math.max(newest, record.index);
    if (record.index <= start.index) continue;
    if (record.index > last + 1) hole = true;
    else last = record.index; // a record replaces its index and all above
  }
  let unknown = 0;
  for (const { record, records } of options.damage) {
    if (record === undefined) unknown += records;
    else if (record.kind < 16) newest = Math.max(newest, record.index);
  }
  return hole ? logIndex(newest + unknown) : undefined;
}
