/**
 * Phase 2 under one ballot: what a leader proposes, who has accepted it, and when it is chosen.
 * Source  Lamport 2001, section 3; flow as in reference/consensus.md section 4; eras after its "Reconfiguration", stage 1.
 * Owns    the slots above the chosen watermark, windows to the replicas, the leader's reads and its beats.
 * Leaves  being elected and stepping down to `paxos.ts`, changes of members to `stewardship.ts`.
 *
 * P3. A slot is chosen when a phase-2 quorum has accepted it under this ballot, in any order; it counts as known when all
 *     slots before it are. The leader counts its own acceptance when it is durable.
 * P10. Nothing is proposed above a stop entry. When it is chosen its era is over; its own proposer then goes on at once under
 *     its opening ballot, round 0 of the next era: nobody else can use that ballot, it is below all others of its era, so
 *     there is nothing that its phase 1 could find, and the leadership that proposed the stop entry is unbroken. A leader
 *     that merely recovered the stop entry stands anew.
 */
import { assert } from "../../base/assert.ts";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { type LogIndex, logIndex, type NodeId } from "../../base/ids.ts";
import { isVoter, replicas } from "../contract/configuration.ts";
import type { PeerStatus, RefusalReason } from "../contract/core.ts";
import { heardAfterHoldUpMs, isQuorumConnected } from "../contract/election.ts";
import { AckRing } from "./ack-ring.ts";
import { type Ballot, openingBallot } from "./ballot.ts";
import type { BeatReply, PaxosAccepted } from "./messages.ts";
import { Peer } from "./peer.ts";
import { PaxosReads } from "./reads.ts";
import type { Plan } from "./recovery.ts";
import type { Replica } from "./replica.ts";
import { type SlotValue, ValueTag } from "./value.ts";

/** How a leadership ends, told to the core. */
export interface LeadershipEnd {
  stepDown(why: string, heir: NodeId | undefined): void;
  /** The era of a recovered stop entry is over: stand in the next one. */
  standAnew(): void;
  /** The ballot changed, the leader did not. */
  renewed(): void;
}

const TELL_CHOSEN_MS = 2;
/** Beats that an acceptance may take before it is asked for again. */
const PATIENCE_BEATS = 4;

export class Leadership {
  readonly peers: Map<NodeId, Peer> = new Map();
  readonly reads: PaxosReads = new PaxosReads();
  /** When this is chosen, everything that phase 1 found is, and the first entry of this ballot. */
  opening: LogIndex;
  /** Its host asked for a transfer. */
  transfer: { readonly to: NodeId; readonly deadlineMs: number } | undefined;
  readonly #replica: Replica;
  readonly #end: LeadershipEnd;
  readonly #ring: AckRing;
  #ballot: Ballot;
  #last: LogIndex;
  /** The slot of a stop entry: nothing is proposed above it. */
  #stop: { readonly index: LogIndex; readonly isOwn: boolean } | undefined;
  #ownBit = -1;
  /** Own acceptances that are being written, in order. */
  #writing: { readonly ticket: number; readonly first: LogIndex; last: LogIndex }[] = [];
  #openBytes = 0;
  #beatDueMs: number;
  #tellDueMs = Number.POSITIVE_INFINITY;
  #over = false;

  constructor(replica: Replica, ballot: Ballot, plan: Plan, end: LeadershipEnd) {
    this.#replica = replica;
    this.#ballot = ballot;
    this.#end = end;
    assert(plan.first === replica.log.chosen + 1, "P9: a plan begins above what is chosen", { first: plan.first });
    this.#last = replica.log.chosen;
    this.#ring = new AckRing(plan.first);
    this.#beatDueMs = replica.nowMs + replica.options.heartbeatMs;
    this.opening = plan.last;
    this.#seat(replica.log.chosen);
    const noop = this.#noop();
    for (let i = plan.first; i <= plan.last; i = logIndex(i + 1)) this.#put(plan.values.get(i) ?? noop);
    if (plan.stops) this.#stop = { index: plan.last, isOwn: false };
    else this.opening = this.#put(noop);
    for (const [id, peer] of this.peers) this.#pump(id, peer);
  }

  get ballot(): Ballot {
    return this.#ballot;
  }

  get last(): LogIndex {
    return this.#last;
  }

  get openBytes(): number {
    return this.#openBytes;
  }

  get stops(): boolean {
    return this.#stop !== undefined;
  }

  get isOpen(): boolean {
    return this.#replica.log.chosen >= this.opening;
  }

  get deadlineMs(): number {
    return Math.min(this.#beatDueMs, this.#tellDueMs, this.transfer?.deadlineMs ?? Number.POSITIVE_INFINITY);
  }

  status(needsSnapshot: (id: NodeId) => boolean): readonly PeerStatus[] {
    return [...this.peers].map(([peer, p]) => ({
      peer,
      match: p.chosen,
      state: needsSnapshot(peer) ? "snapshot" : "replicate",
      lastHeardMs: p.lastHeardMs,
    }));
  }

  // ---------------------------------------------------------------- proposing

  /** Proposes a command, within limits. `waiting`: replicas that are told at once when it is chosen. */
  offer(body: Uint8Array, bodyCrc: number, waiting: readonly NodeId[]): void {
    const { log, options, out, id } = this.#replica;
    const open = this.#last - log.chosen;
    const bytes = this.#openBytes + body.length;
    let reason: RefusalReason | undefined;
    if (this.transfer !== undefined) reason = "transferring";
    else if (this.stops)
      reason = "overloaded"; // P10: it passes soon
    else if (open >= options.uncommittedEntriesMax || bytes > options.uncommittedBytesMax) reason = "overloaded";
    if (reason !== undefined) {
      out.answer({ type: "refused", reason, leader: id });
      return;
    }
    const index = this.propose(ValueTag.command, body, bodyCrc);
    for (const peerId of waiting) {
      const peer = this.peers.get(peerId);
      if (peer !== undefined) peer.waitsFor = index;
    }
    out.answer({ type: "accepted", index, term: this.#ballot });
  }

  /** Proposes in the next slot. The caller has checked limits, and that no stop entry is under way. */
  propose(tag: ValueTag, body: Uint8Array, bodyCrc: number): LogIndex {
    const isStop = tag === ValueTag.stop;
    const origin = isStop ? openingBallot(this.#replica.log.era + 1, this.#replica.id) : this.#ballot;
    const index = this.#put({ tag, origin, body, bodyCrc });
    if (isStop) this.#stop = { index, isOwn: true };
    for (const [id, peer] of this.peers) this.#pump(id, peer);
    return index;
  }

  #put(value: SlotValue): LogIndex {
    assert(this.#stop === undefined, "P10: nothing is proposed above a stop entry", { last: this.#last });
    const replica = this.#replica;
    const index = logIndex(this.#last + 1);
    this.#last = index;
    this.#ring.push();
    replica.file(index, this.#ballot, value);
    this.#openBytes += value.body.length;
    const { ticket } = replica.out;
    const writing = this.#writing.at(-1);
    if (writing !== undefined && writing.ticket === ticket && writing.last === index - 1) writing.last = index;
    else this.#writing.push({ ticket, first: index, last: index });
    return index;
  }

  #noop(): SlotValue {
    const body = EMPTY_BYTES;
    return { tag: ValueTag.noop, origin: this.#ballot, body, bodyCrc: this.#replica.options.crc32(body) };
  }

  /** Sends what the windows of a replica allow; what is chosen meanwhile it fetches by itself. */
  #pump(id: NodeId, peer: Peer): void {
    const { log, options } = this.#replica;
    if (peer.next <= log.chosen) peer.next = logIndex(log.chosen + 1);
    while (peer.next <= this.#last && peer.open) {
      const { next } = peer;
      let bytes = 0;
      let last = next;
      for (let i = next; i <= this.#last; i = logIndex(i + 1)) {
        bytes += this.#valueAt(i).body.length;
        if (i > next && bytes > options.messageBytesMax) break;
        last = i;
      }
      this.#sendAccept(id, peer, next, last);
      peer.sent(next, last, bytes, this.#replica.nowMs);
    }
  }

  #sendAccept(id: NodeId, peer: Peer, first: LogIndex, last: LogIndex): void {
    const values: SlotValue[] = [];
    for (let i = first; i <= last; i = logIndex(i + 1)) values.push(this.#valueAt(i));
    const { chosen } = this.#replica.log;
    peer.toldChosen = Math.max(peer.toldChosen, chosen);
    this.#replica.out.send(id, { type: "accept", ballot: this.#ballot, chosen, first, values });
  }

  #valueAt(index: LogIndex): SlotValue {
    const slot = this.#replica.log.slot(index);
    assert(slot !== undefined, "a leader holds what it has proposed", { index, last: this.#last });
    return slot.value;
  }

  // ---------------------------------------------------------------- answers

  heard(peer: Peer): void {
    peer.lastHeardMs = this.#replica.nowMs;
  }

  /** It holds all chosen slots up to here on its disk. */
  #holds(peer: Peer, chosen: LogIndex): void {
    this.heard(peer);
    if (chosen > peer.chosen) peer.chosen = chosen;
  }

  /** P3. */
  accepted(from: NodeId, peer: Peer, message: PaxosAccepted): void {
    this.#holds(peer, message.chosen);
    for (const [first, last] of message.ranges) {
      if (peer.bit >= 0) this.#ring.mark(first, last, peer.bit);
      peer.acknowledged(first, last);
    }
    this.#advance();
    if (this.#over) return;
    this.#pump(from, peer);
  }

  /** Own acceptances up to the completed ticket are durable. */
  durable(): void {
    const { completed } = this.#replica.out;
    while (this.#writing[0] !== undefined && this.#writing[0].ticket <= completed) {
      const done = this.#writing.shift();
      if (done !== undefined && this.#ownBit >= 0) this.#ring.mark(done.first, done.last, this.#ownBit);
    }
    this.#advance();
  }

  beatAnswered(from: NodeId, peer: Peer, reply: BeatReply): void {
    this.#holds(peer, reply.chosen);
    if (reply.round > peer.round && !reply.isMute) {
      peer.round = reply.round;
      this.#grantReads();
    }
    this.#pump(from, peer);
  }

  #advance(): void {
    const replica = this.#replica;
    const before = replica.log.chosen;
    const wasOpen = this.isOpen;
    while (this.#ring.first < this.#ring.end && replica.quorums.isPhase2(this.#ring.at(this.#ring.first))) {
      const index = logIndex(this.#ring.first);
      this.#openBytes -= this.#valueAt(index).body.length;
      this.#ring.shift();
      replica.settleNext();
      assert(replica.log.chosen === index, "P3: a leader's chosen watermark is its own", { index });
      if (this.#stop?.index === index) {
        this.#endEra(this.#stop.isOwn);
        return;
      }
    }
    if (replica.log.chosen === before) return;
    if (!wasOpen && this.isOpen) {
      this.reads.release(replica.log.chosen);
      this.beginRound();
    } else {
      // A replica that answers its own clients should not wait for the next message.
      for (const [id, peer] of this.peers) {
        if (peer.waitsFor > peer.toldChosen && peer.toldChosen < replica.log.chosen) this.#beat(id, peer);
      }
      this.#tellDueMs = Math.min(this.#tellDueMs, replica.nowMs + TELL_CHOSEN_MS);
    }
  }

  /** P10. */
  #endEra(isOwn: boolean): void {
    const replica = this.#replica;
    for (const [id, peer] of this.peers) this.#beat(id, peer); // under the old ballot: whoever accepted it knows the end
    if (!isVoter(replica.configuration, replica.id)) {
      this.#over = true;
      this.#end.stepDown("no longer a voter", this.heir());
      return;
    }
    if (!isOwn) {
      this.#over = true;
      this.#end.standAnew();
      return;
    }
    this.#ballot = openingBallot(replica.log.era, replica.id);
    replica.follow(this.#ballot);
    assert(replica.promised === this.#ballot, "P10: nobody stood in an era before its opening was used up", {
      ballot: this.#ballot,
      promised: replica.promised,
    });
    this.#stop = undefined;
    this.opening = replica.log.chosen;
    this.#last = replica.log.chosen;
    assert(this.#ring.first === this.#ring.end, "P10: nothing lies above a stop entry");
    this.#writing = [];
    this.#seat(logIndex(0));
    for (const peer of this.peers.values()) peer.round = 0;
    this.reads.release(replica.log.chosen);
    this.reads.renew(replica.log.chosen);
    this.#end.renewed();
    this.beginRound();
  }

  // ---------------------------------------------------------------- beats and reads

  tick(late: boolean): void {
    const replica = this.#replica;
    const { nowMs, options } = replica;
    const graceMs = heardAfterHoldUpMs(options, nowMs);
    if (late) for (const p of this.peers.values()) p.lastHeardMs = Math.max(p.lastHeardMs, graceMs);
    const connected = isQuorumConnected(options, {
      self: replica.id,
      nowMs,
      lastHeardMs: (id) => this.peers.get(id)?.lastHeardMs,
      isQuorum: (has) => replica.quorums.isPhase2(replica.maskOf(has)),
    });
    if (!connected) {
      this.#over = true;
      this.#end.stepDown("check-quorum: no phase-2 quorum heard for an election timeout", undefined);
      return;
    }
    if (this.transfer !== undefined && nowMs >= this.transfer.deadlineMs) this.transfer = undefined;
    if (nowMs >= this.#tellDueMs) {
      this.#tellDueMs = Number.POSITIVE_INFINITY;
      for (const [id, peer] of this.peers) if (peer.toldChosen < replica.log.chosen) this.#beat(id, peer);
    }
    if (nowMs < this.#beatDueMs) return;
    this.#beatDueMs = nowMs + options.heartbeatMs;
    this.beginRound();
    const beforeMs = nowMs - PATIENCE_BEATS * options.heartbeatMs;
    for (const [id, peer] of this.peers) {
      for (const [first, last] of peer.overdue(beforeMs, replica.log.chosen, nowMs)) {
        const from = logIndex(Math.max(first, replica.log.start.index + 1));
        if (from <= last) this.#sendAccept(id, peer, from, last);
      }
      this.#pump(id, peer);
    }
  }

  /** A new round: whoever answers it has promised nobody else before now. */
  beginRound(): void {
    this.reads.begin();
    for (const [id, peer] of this.peers) this.#beat(id, peer);
    this.#grantReads();
  }

  #beat(id: NodeId, peer: Peer): void {
    const { chosen } = this.#replica.log;
    peer.toldChosen = Math.max(peer.toldChosen, chosen);
    this.#replica.out.send(id, { type: "beat", ballot: this.#ballot, round: this.reads.round, chosen });
  }

  read(context: number): void {
    if (!this.isOpen) {
      this.reads.hold(context);
      return;
    }
    this.reads.add(context, this.#replica.log.chosen);
    this.beginRound();
  }

  #grantReads(): void {
    const replica = this.#replica;
    if (!this.reads.waiting) return;
    const answered = (round: number): boolean =>
      replica.quorums.isPhase2(replica.maskOf((id) => id === replica.id || (this.peers.get(id)?.round ?? 0) >= round));
    for (const grant of this.reads.take(answered)) replica.out.grant(grant);
  }

  // ---------------------------------------------------------------- replicas

  /** Follows the configuration in force. `chosen`: what replicas that are new to us are taken to know. */
  #seat(chosen: LogIndex): void {
    const replica = this.#replica;
    const { voters } = replica.quorums;
    const before = new Map(this.peers);
    this.peers.clear();
    this.#ownBit = voters.indexOf(replica.id);
    for (const id of replicas(replica.configuration)) {
      if (id === replica.id) continue;
      const known = before.get(id);
      const bit = voters.indexOf(id);
      if (known?.bit === bit) {
        this.peers.set(id, known);
        continue;
      }
      const { nowMs } = replica;
      const next = logIndex(replica.log.chosen + 1);
      const peer = new Peer(replica.options, { bit, next, chosen: known?.chosen ?? chosen, nowMs });
      if (known !== undefined) peer.lastHeardMs = known.lastHeardMs;
      this.peers.set(id, peer);
    }
  }

  peerLost(id: NodeId): void {
    this.peers.get(id)?.forget(this.#replica.log.chosen);
  }

  /** The live voter that knows most. */
  heir(): NodeId | undefined {
    const replica = this.#replica;
    let best: NodeId | undefined;
    let bestChosen = -1;
    for (const [id, peer] of this.peers) {
      if (!isVoter(replica.configuration, id) || peer.chosen <= bestChosen) continue;
      if (replica.nowMs - peer.lastHeardMs >= replica.options.electionMs) continue;
      best = id;
      bestChosen = peer.chosen;
    }
    return best;
  }
}
