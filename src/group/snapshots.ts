/**
 * Whole states between nodes: sent to replicas that need entries which are gone here, and installed when one comes.
 * Leaves  offers, chunks, pace and resuming to `snapshot-transfer.ts`.
 */
import { assert } from "../base/assert.ts";
import type { LogIndex, NodeId } from "../base/ids.ts";
import type { Applier } from "./applier.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { PeerFrame } from "./frames.ts";
import type { Members } from "./members.ts";
import type { Proposer } from "./proposer.ts";
import type { Pump } from "./pump.ts";
import type { Reads } from "./reads.ts";
import type { Replica } from "./replica.ts";
import { type Offer, type SnapshotInstall, SnapshotReceiver, SnapshotSender } from "./snapshot-transfer.ts";

const SNAPSHOT_RETRY_MS = 250;

type SnapshotFrame = Extract<PeerFrame, { type: "snapshot-offer" | "snapshot-chunk" | "snapshot-progress" }>;

interface Sending {
  readonly sender: SnapshotSender;
  readonly start: LogIndex;
  ended: Promise<void>;
}

/** What has to know of a new state. */
export interface SnapshotsPort<Result> {
  readonly replica: Replica<Result, unknown, unknown>;
  readonly applier: Applier;
  readonly checkpoints: Checkpoints;
  readonly members: Members;
  readonly reads: Reads;
  /** This node's commands that are still open: what became of them stands in the new state's sessions. */
  readonly proposer: Pick<Proposer<Result>, "restored">;
}

export class Snapshots<Result> {
  readonly #pump: Pump;
  readonly #port: SnapshotsPort<Result>;
  readonly #receiver: SnapshotReceiver;
  readonly #sendings = new Map<NodeId, Sending>();
  #nextId = 1;

  constructor(pump: Pump, port: SnapshotsPort<Result>) {
    this.#pump = pump;
    this.#port = port;
    const { ports, settings } = pump;
    this.#receiver = new SnapshotReceiver(ports, {
      folder: settings.folder,
      wanted: (from, offer) => this.#isWanted(from, offer),
      install: (snapshot) => this.#install(snapshot),
      send: (to, frame) => void pump.send(to, frame),
    });
  }

  /** X2. */
  #isWanted(from: NodeId, { term, start }: Offer): boolean {
    const { core, closed } = this.#pump;
    if (closed || start.index <= core.commit) return false;
    return core.snapshotsFrom === "anyone" || (from === core.leader && term === core.term);
  }

  handle(from: NodeId, frame: SnapshotFrame): void {
    if (frame.type === "snapshot-progress") {
      this.#sendings.get(from)?.sender.onProgress(frame);
      return;
    }
    this.#receiver.handle(from, frame).catch((error: unknown) => this.#pump.failed(error));
  }

  /** A follower that has taken a snapshot needs what comes after it: without that it would need another, and another. */
  keepAbove(): number {
    return Math.min(...[...this.#sendings.values()].map((s) => s.start));
  }

  /** The follower needs what is not in the log any more. */
  send(peer: NodeId): void {
    if (this.#sendings.has(peer) || this.#pump.closed) return;
    const { replica, applier, members } = this.#port;
    const { core, ports, settings } = this.#pump;
    if (!applier.isWhole) {
      // Our own state is being replaced: there is nothing whole to send. The core will ask again.
      const index = replica.applied;
      this.#pump.timer(SNAPSHOT_RETRY_MS, () => this.#pump.step({ type: "snapshot-sent", peer, index, ok: false }));
      return;
    }
    const start = core.startAt(replica.applied);
    assert(start !== undefined, "H2: the applied point is in the log", { applied: replica.applied });
    const meta = replica.encodeMeta(start, members.leaving(start.configuration));
    const snapshot = replica.machine.snapshot();
    const id = ports.random.below(0x1_0000_0000) * 0x10_0000 + (this.#nextId++ % 0x10_0000);
    const sender = new SnapshotSender(ports.clock, {
      id,
      term: core.term,
      source: { start, meta, chunks: () => snapshot.chunks(), close: () => snapshot.close() },
      bytesPerSecond: settings.snapshotBytesPerSecond,
      crc32: (bytes) => ports.kernels.crc32(bytes),
      send: (frame) => this.#pump.send(peer, frame),
    });
    const sending: Sending = { sender, start: start.index, ended: Promise.resolve() };
    this.#sendings.set(peer, sending);
    const { group } = settings;
    ports.observer.observe({ type: "snapshot-sending", group, to: peer, index: start.index });
    sending.ended = sender
      .run()
      .then((ok) => this.#sent(peer, start.index, ok))
      .catch((error: unknown) => settings.fatal(error));
  }

  #sent(peer: NodeId, index: LogIndex, ok: boolean): void {
    this.#sendings.delete(peer);
    const { ports, settings } = this.#pump;
    ports.observer.observe({ type: "snapshot-sent", group: settings.group, to: peer, index, ok });
    if (this.#pump.closed) return;
    const tell = (): void => void this.#pump.step({ type: "snapshot-sent", peer, index, ok });
    if (ok) tell();
    else this.#pump.timer(SNAPSHOT_RETRY_MS, tell); // the core will want another one at once
  }

  async #install(snapshot: SnapshotInstall): Promise<void> {
    const { replica, applier, checkpoints, members, reads, proposer } = this.#port;
    const { core, ports, settings } = this.#pump;
    applier.hold(); // and for ever, if it fails: nothing may be applied to, read from or saved of what is left
    await checkpoints.idle();
    if (snapshot.start.index <= core.commit) {
      this.#whole(); // entries of another leader have overtaken it: what is applied never goes back
      reads.replaced();
      return;
    }
    await replica.machine.restore(snapshot.chunks);
    const { start, leaving } = replica.restoreMeta(snapshot.meta);
    await checkpoints.writeWithPatience(snapshot.meta); // before the WAL forgets what it replaces
    checkpoints.replaced(start.index);
    members.learn(start.configuration, leaving);
    applier.forget(start.index);
    ports.observer.observe({ type: "snapshot-installed", group: settings.group, index: start.index });
    this.#whole();
    const { sessions } = replica;
    proposer.restored(
      (id) => (sessions.has(id) ? sessions.last(id) : undefined),
      (id, sequence) => sessions.result(id, sequence),
      replica.applied,
      ports.clock.monotonicMs(),
    );
    this.#pump.step({ type: "installed", start: snapshot.start });
    settings.wal.trim(settings.group, snapshot.start.index);
    reads.replaced();
  }

  #whole(): void {
    this.#port.applier.release();
    this.#port.reads.whole();
    this.#pump.turn();
  }

  /** This node does not lead any more. */
  resigned(): void {
    if (this.#pump.core.snapshotsFrom === "leader") this.#stopSending();
  }

  #stopSending(): void {
    for (const { sender } of this.#sendings.values()) sender.stop();
  }

  async close(): Promise<void> {
    this.#stopSending();
    await Promise.all([...this.#sendings.values()].map(({ ended }) => ended)); // each holds a view of the state
    await this.#receiver.close();
  }
}
