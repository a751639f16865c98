/**
 * A replicated group on one node: what the layers above hold (`handle.ts`), put together from its parts.
 * Owns    the parts, who hears of what, and the order of starting and closing.
 * Leaves  steps and their effects to `pump.ts`; commands to `proposer.ts` and `entry-builder.ts`; applying to `applier.ts`;
 *         reads to `reads.ts`; checkpoints to `checkpoints.ts`; whole states to `snapshots.ts`; members to `members.ts` and
 *         `control.ts`, and no longer being one to `removal.ts`; what was on the disk to `recovery.ts`.
 *
 * H1. Effects are carried out in the order of the steps (`pump.ts`).
 * H2. A checkpoint never claims more than is applied (`checkpoints.ts`).
 * H3. A disk that fails stops the node. A full one stops writes: a leader refuses them, and what is under way waits.
 */
import type { AlthingError } from "../base/errors.ts";
import type { LogIndex, NodeId, Term } from "../base/ids.ts";
import type { Configuration, Member } from "../consensus/contract/configuration.ts";
import type { CoreEvent } from "../consensus/contract/core.ts";
import type { Ports } from "../ports/ports.ts";
import { Applier } from "./applier.ts";
import { Checkpoints } from "./checkpoints.ts";
import { Control } from "./control.ts";
import { observeCore } from "./core-events.ts";
import { DiskWatchdog } from "./disk-watchdog.ts";
import { EntryBuilder } from "./entry-builder.ts";
import type { PeerFrame } from "./frames.ts";
import type { GroupOptions } from "./group-options.ts";
import type { CallOptions, GroupHandle, GroupStatus } from "./handle.ts";
import { Leadership } from "./leadership.ts";
import { Members } from "./members.ts";
import type { Outcome, ReadLevel } from "./outcome.ts";
import { passOver } from "./pass-over.ts";
import { Proposer } from "./proposer.ts";
import { Pump } from "./pump.ts";
import { type Answerer, Questions } from "./questions.ts";
import { Reads } from "./reads.ts";
import { Removal } from "./removal.ts";
import { recoverGroup, type RecoveredGroup } from "./recovery.ts";
import type { MetaHead, Replica } from "./replica.ts";
import { Snapshots } from "./snapshots.ts";

const HOUSEKEEPING_MS = 100;

export class Group<Result, Query, Answer> implements GroupHandle<Result, Query, Answer> {
  readonly #pump: Pump;
  readonly #replica: Replica<Result, Query, Answer>;
  readonly #applier: Applier;
  readonly #proposer: Proposer<Result>;
  readonly #entries: EntryBuilder;
  readonly #reads: Reads;
  readonly #checkpoints: Checkpoints;
  readonly #snapshots: Snapshots<Result>;
  readonly #leadership: Leadership;
  readonly #members: Members;
  readonly #removal: Removal;
  readonly #control: Control;
  readonly #questions: Questions;
  readonly #watchdog: DiskWatchdog;

  private constructor(
    ports: Ports,
    options: GroupOptions<Result, Query, Answer>,
    recovered: RecoveredGroup<Result, Query, Answer>,
  ) {
    const { replica } = recovered;
    const { clock } = ports;
    this.#replica = replica;
    this.#pump = new Pump(ports, options, recovered.core, {
      committed: (entries) => this.#applier.add(entries),
      granted: (context, index) => this.#reads.coreGranted(context, index),
      event: (event) => this.#event(event),
      stepped: () => this.#leadership.stepped(),
      turn: (nowMs) => this.#turn(nowMs),
    });
    this.#applier = new Applier({
      clock,
      replica,
      applied: (entry) => this.#checkpoints.note(entry),
      advanced: () => this.#advanced(),
    });
    this.#leadership = new Leadership(this.#pump, {
      state: this.#applier,
      leaderChanged: () => this.#leaderChanged(),
      becameReady: () => this.#becameReady(),
    });
    this.#proposer = makeProposer(options, ports, (part) => this.#entries.route(part));
    this.#reads = new Reads(this.#pump, this.#applier, this.#proposer);
    this.#entries = new EntryBuilder(this.#pump, {
      mayPropose: () => !this.#members.isUnbound && this.#pump.core.takesProposals,
      resend: () => this.#proposer.resend(),
    });
    this.#checkpoints = new Checkpoints(this.#pump, recovered, {
      state: this.#applier,
      encodeMeta: (start) => replica.encodeMeta(start, this.#members.leaving(start.configuration)),
      keepAbove: () => this.#snapshots.keepAbove(),
    });
    this.#members = new Members(this.#pump, {
      isReadyLeader: () => this.isReadyLeader,
      changeMembers: (change, calling) => this.changeMembers(change, calling),
      changed: (configuration) => this.#membersChanged(configuration),
    });
    this.#removal = new Removal(this.#pump, () => this.#leadership.changed());
    this.#snapshots = new Snapshots(this.#pump, {
      replica,
      applier: this.#applier,
      checkpoints: this.#checkpoints,
      members: this.#members,
      reads: this.#reads,
      proposer: this.#proposer,
    });
    this.#questions = new Questions(this.#pump, (wish) => this.#control.work(wish));
    this.#control = new Control(this.#pump, (to, question, asking) => this.#questions.askNode(to, question, asking));
    this.#watchdog = new DiskWatchdog(this.#pump);
    recovered.relay.target = {
      sessionOpened: (nonce, session) => this.#proposer.sessionOpened(nonce, session),
      executed: (session, sequence, index, result) =>
        this.#proposer.executed(session, sequence, index, result, clock.monotonicMs()),
      outOfSequence: (session) => this.#proposer.outOfSequence(session),
      noSession: (session) => this.#proposer.noSession(session),
    };
  }

  /**
   * Restores the state machine from its last checkpoint, the log from the WAL, and joins the group.
   * Fails with DATA_CORRUPT, DATA_NEWER, GROUP_DAMAGED.
   */
  static async open<Result, Query, Answer>(
    ports: Ports,
    options: GroupOptions<Result, Query, Answer>,
  ): Promise<Group<Result, Query, Answer>> {
    const recovered = await recoverGroup(ports, options);
    const group = new Group(ports, options, recovered);
    group.#begin(options, recovered.head);
    return group;
  }

  #begin({ peers, group, records }: GroupOptions<Result, Query, Answer>, head: MetaHead): void {
    peers.register(group, {
      frame: (from, frame, isStranger) => this.#frame(from, frame, isStranger),
      connected: (peer) => this.#peerConnected(peer),
      lost: (peer) => this.#peerLost(peer),
      stranger: (peer, met) => this.#members.noteStranger(peer, met),
    });
    this.#members.begin(head, records);
    this.#housekeeping();
    this.#pump.arm();
    this.#pump.step({ type: "tick" });
  }

  // ---------------------------------------------------------------- state

  get nodeId(): NodeId {
    return this.#pump.nodeId;
  }

  get leader(): NodeId | undefined {
    return this.#pump.leader;
  }

  get isLeader(): boolean {
    return this.#pump.isLeader;
  }

  get isReadyLeader(): boolean {
    return this.#leadership.isReady;
  }

  get term(): Term {
    return this.#pump.core.term;
  }

  get applied(): LogIndex {
    return this.#replica.applied;
  }

  get members(): readonly Member[] {
    return this.#members.list;
  }

  status(): GroupStatus {
    const status = this.#pump.core.status();
    const { peers, wal } = this.#pump.settings;
    const removedAsOf = this.#removal.asOf;
    return {
      ...status,
      consensus: peers.consensus,
      nodeId: this.nodeId,
      applied: this.applied,
      checkpoint: this.#checkpoints.last,
      sessions: this.#replica.sessions.size,
      pendingCommands: this.#proposer.pendingCommands,
      pendingBytes: this.#proposer.pendingBytes,
      diskFull: !wal.hasRoom,
      damaged: status.damaged || wal.isDamaged,
      refusals: peers.refusals,
      ...(removedAsOf === undefined ? {} : { removedAsOf }),
    };
  }

  onChange(listener: () => void): () => void {
    return this.#leadership.onChange(listener);
  }

  // ---------------------------------------------------------------- writes

  propose(command: Uint8Array, options: CallOptions = {}): Promise<Outcome<Result>> {
    return new Promise((resolve) => this.submit(command, resolve, options));
  }

  submit(command: Uint8Array, done: (outcome: Outcome<Result>) => void, options: CallOptions = {}): void {
    const { ports, settings } = this.#pump;
    const deadlineMs = ports.clock.monotonicMs() + (options.timeoutMs ?? settings.timings.callTimeoutMs);
    // Only here: what other nodes forward goes on until the alarm that the layer above raises stops it everywhere.
    const full = options.urgent !== true && this.isLeader && !settings.wal.hasRoom;
    const reason = full ? "disk-full" : this.#proposer.submit(command, done, { ...options, deadlineMs });
    if (reason === undefined) {
      this.#pump.turn();
      return;
    }
    const { leader } = this;
    ports.clock.afterTurn(() => done({ type: "rejected", reason, leader }));
  }

  // ---------------------------------------------------------------- reads

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
    this.#reads.whenReadable(level, ready, options);
  }

  // ---------------------------------------------------------------- members, questions, snapshots

  changeMembers(change: (members: readonly Member[]) => readonly Member[], options: CallOptions = {}): Promise<void> {
    return this.#control.changeMembers(change, options);
  }

  transferLeader(to: NodeId, options: CallOptions = {}): Promise<void> {
    return this.#control.transferLeader(to, options);
  }

  askLeader(question: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return this.#questions.ask(this.leader, question, options);
  }

  ask(node: NodeId, question: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return this.#questions.ask(node, question, options);
  }

  onAsk(answer: Answerer): void {
    this.#questions.onAsk(answer);
  }

  exportSnapshot(): { readonly index: LogIndex; readonly chunks: AsyncIterable<Uint8Array>; close(): void } {
    const snapshot = this.#replica.machine.snapshot();
    return { index: this.applied, chunks: snapshot.chunks(), close: () => snapshot.close() };
  }

  checkpoint(): Promise<void> {
    return this.#checkpoints.write();
  }

  // ---------------------------------------------------------------- closing

  async close(): Promise<void> {
    if (this.#pump.closed) return;
    if (this.isLeader) await this.#control.handOver();
    if (this.#pump.closed) return;
    await this.checkpoint().catch(passOver); // only saves the next start some work
    this.#pump.close();
    this.#proposer.close();
    this.#reads.close();
    this.#questions.close();
    await this.#snapshots.close();
    await this.#checkpoints.idle();
  }

  // ---------------------------------------------------------------- the turn, and what is done from time to time

  #turn(nowMs: number): void {
    if (this.leader !== undefined && this.#proposer.wants) this.#proposer.flush(nowMs);
    if (!this.#entries.isEmpty) this.#entries.proposeAll();
    this.#reads.sendAll();
    this.#applier.applySome();
    this.#reads.releaseSession();
  }

  #housekeeping(): void {
    this.#pump.timer(HOUSEKEEPING_MS, () => {
      this.#housekeeping();
      const { ports, settings } = this.#pump;
      const nowMs = ports.clock.monotonicMs();
      this.#watchdog.check();
      this.#proposer.expire(nowMs);
      this.#reads.expire(nowMs);
      this.#questions.expire(nowMs);
      const patienceMs = 2 * settings.timings.electionMs;
      if (this.#proposer.isStuck(nowMs, patienceMs)) this.#proposer.resend();
      this.#reads.retry(nowMs - patienceMs);
      this.#members.tend();
      this.#members.publish(nowMs);
      this.#removal.check(nowMs);
      this.#checkpoints.keep(nowMs);
      if (this.#proposer.wants || this.#reads.wants) this.#pump.turn();
      this.#reads.expireSession(nowMs);
    });
  }

  // ---------------------------------------------------------------- who hears of what

  #advanced(): void {
    this.#reads.advanced();
    this.#leadership.checkReady();
    if (this.#applier.isBehind || this.#proposer.wants) this.#pump.turn();
  }

  #leaderChanged(): void {
    this.#proposer.resend();
    this.#reads.retry();
    if (this.isLeader) return;
    this.#snapshots.resigned();
    this.#entries.refuseAll();
  }

  #becameReady(): void {
    if (!this.#members.isUnbound) return;
    const { clock } = this.#pump.ports;
    clock.afterTurn(() => void (this.#pump.closed || this.#members.tend())); // M2: before the first command
  }

  #membersChanged(configuration: Configuration): void {
    this.#removal.follow(configuration);
    this.#leadership.changed();
    if (!this.#entries.isEmpty) this.#pump.turn();
  }

  #event(event: CoreEvent): void {
    const { ports, settings, core } = this.#pump;
    observeCore(ports.observer, settings, event);
    switch (event.type) {
      case "configuration":
        this.#members.follow(event.configuration);
        return;
      case "truncated":
        this.#members.follow(core.status().configuration); // the one in force may have been cut off
        return;
      case "need-snapshot":
        this.#snapshots.send(event.peer);
        return;
      case "repaired":
        settings.wal.repaired(settings.group);
        this.#checkpoints.repaired(event.upTo);
        return;
      case "role":
      case "stuck":
      case "ignored":
        return;
    }
  }

  #frame(from: NodeId, frame: PeerFrame, isStranger: boolean): void {
    if (this.#pump.closed) return;
    if (isStranger) this.#members.noteStranger(from, this.#pump.settings.peers.incarnationOf(from));
    switch (frame.type) {
      case "consensus":
        this.#pump.step({ type: "message", from, frame: frame.frame, isStranger });
        this.#removal.heard(from);
        return;
      case "forward":
        this.#entries.forwarded(from, frame.part);
        return;
      case "forward-refused":
        this.#proposer.resend(); // by housekeeping or the next change of leader: at once would be a storm
        return;
      case "read":
        this.#reads.askedBy(from, frame.context);
        return;
      case "read-grant":
        this.#reads.granted(frame.context, frame.index === 0 ? undefined : frame.index);
        return;
      case "ask":
        this.#questions.asked(from, frame);
        return;
      case "answer":
        this.#questions.answered(frame);
        return;
      case "snapshot-offer":
      case "snapshot-chunk":
      case "snapshot-progress":
        this.#snapshots.handle(from, frame);
        return;
      case "not-member":
        this.#removal.told(frame);
        return;
      case "member-query":
        this.#removal.asked(from);
        return;
    }
  }

  #peerConnected(peer: NodeId): void {
    if (this.#pump.closed) return;
    if (peer === this.leader) {
      this.#proposer.resend(); // what was on its way over the old connection is lost
      this.#reads.retry();
    }
    this.#pump.turn();
  }

  #peerLost(peer: NodeId): void {
    if (this.#pump.closed) return;
    this.#questions.lost(peer);
    this.#pump.step({ type: "peer-lost", peer });
    this.#pump.arm();
  }
}

function makeProposer<Result>(
  { limits }: Pick<GroupOptions<Result, unknown, unknown>, "limits">,
  { random }: Ports,
  send: (part: Uint8Array) => boolean,
): Proposer<Result> {
  return new Proposer(
    {
      pendingCommandsMax: limits.pendingCommandsMax,
      pendingBytesMax: limits.pendingBytesMax,
      partBytesMax: 1024 * 1024,
      commandBytesMax: limits.requestBytesMax + 64 * 1024,
    },
    { send },
    () => 1 + random.below(0x1_0000_0000_0000),
  );
}
