/**
 * Moving a snapshot from the leader to a follower whose entries the leader no longer has.
 * Owns    the sender (one a follower: window, pace, resuming) and the receiver (one a group: a file aside, then the swap).
 *
 * An offer carries where the snapshot stands and all state besides the machine's; chunks follow by offset, each with its
 * CRC. The receiver answers with the offset up to which it holds the bytes, so that a broken connection resumes there with
 * the same snapshot id; another id starts again.
 *
 * X1. The receiver replaces its state only when every chunk is on its disk and checked.
 * X2. A snapshot is taken only if it goes beyond what is committed here, and only from whom the engine takes one: in Raft the
 *     leader of the present term.
 * X3. Too little space is no error: the snapshot is refused, its file given back, and the sender tries again later.
 * X4. Where several may send, one that is under way is not disturbed by another's: they would undo each other for ever.
 */
import { assert } from "../base/assert.ts";
import { AlthingError, hasCode } from "../base/errors.ts";
import type { NodeId, Term } from "../base/ids.ts";
import type { LogStart } from "../consensus/contract/core.ts";
import { type Clock, sleep } from "../ports/clock.ts";
import type { DiskFile } from "../ports/disk.ts";
import type { Ports } from "../ports/ports.ts";
import { RecordReader, RecordWriter } from "./checkpoint-file.ts";
import type { PeerFrame } from "./frames.ts";

export type Offer = Extract<PeerFrame, { type: "snapshot-offer" }>;
type Chunk = Extract<PeerFrame, { type: "snapshot-chunk" }>;
type Progress = Extract<PeerFrame, { type: "snapshot-progress" }>;

export interface SnapshotSource {
  readonly start: LogStart;
  readonly meta: Uint8Array;
  chunks(): AsyncIterable<Uint8Array>;
  close(): void;
}

export interface SenderOptions {
  readonly id: number;
  readonly term: Term;
  readonly source: SnapshotSource;
  readonly bytesPerSecond: number;
  readonly crc32: (bytes: Uint8Array) => number;
  readonly send: (frame: PeerFrame) => boolean;
}

const WINDOW_CHUNKS = 8;
const SILENCE_MS = 1_000;
const TRIES_MAX = 10;
/** A sender repeats itself after `SILENCE_MS`; one that has not for so long is gone. */
const RECEIVER_PATIENCE_MS = 3 * SILENCE_MS;

/** Sends one snapshot to one follower. */
export class SnapshotSender {
  readonly #clock: Clock;
  readonly #options: SenderOptions;
  /** Sent and not yet acknowledged: kept for sending again. */
  #window: { readonly offset: number; readonly bytes: Uint8Array; readonly last: boolean }[] = [];
  #acknowledged = -1;
  /** What the follower said last; less than what we still hold: it has started again and lost the beginning. */
  #reported = 0;
  #forgottenBelow = 0;
  #state: "running" | "done" | "refused" | "stopped" = "running";
  #wake: (() => void) | undefined;

  constructor(clock: Clock, options: SenderOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  get id(): number {
    return this.#options.id;
  }

  /** True when the follower has installed it. */
  async run(): Promise<boolean> {
    const { source } = this.#options;
    try {
      if (!(await this.#offer())) return false;
      let offset = 0;
      let held: Uint8Array | undefined;
      for await (const chunk of source.chunks()) {
        if (held !== undefined) {
          if (!(await this.#push(offset, held, false))) return false;
          offset += held.length;
        }
        held = chunk;
      }
      if (!(await this.#push(offset, held ?? new Uint8Array(0), true))) return false;
      return await this.#settle(() => this.#state === "done");
    } finally {
      source.close();
      if (this.#state === "running") this.#state = "stopped";
    }
  }

  onProgress(frame: Progress): void {
    if (frame.snapshot !== this.#options.id || this.#state !== "running") return;
    if (frame.state === "done") this.#state = "done";
    if (frame.state === "refused") this.#state = "refused";
    this.#acknowledged = Math.max(this.#acknowledged, frame.offset);
    this.#reported = frame.offset;
    while (
      this.#window[0] !== undefined &&
      this.#window[0].offset + this.#window[0].bytes.length <= this.#acknowledged
    ) {
      if (this.#window[0].last) break; // acknowledged by `done` only
      this.#forgottenBelow = this.#window[0].offset + this.#window[0].bytes.length;
      this.#window.shift();
    }
    this.#wake?.();
  }

  stop(): void {
    if (this.#state === "running") this.#state = "stopped";
    this.#wake?.();
  }

  async #offer(): Promise<boolean> {
    this.#sendOffer();
    return this.#settle(() => this.#acknowledged >= 0);
  }

  async #push(offset: number, bytes: Uint8Array, last: boolean): Promise<boolean> {
    if (!(await this.#settle(() => this.#window.length < WINDOW_CHUNKS))) return false;
    this.#window.push({ offset, bytes, last });
    this.#sendChunk(offset, bytes, last);
    await sleep(this.#clock, (bytes.length / this.#options.bytesPerSecond) * 1_000);
    return this.#state === "running" || this.#state === "done";
  }

  /** Waits for the condition; repeats offer and window when the follower falls silent. */
  async #settle(reached: () => boolean): Promise<boolean> {
    for (let tries = 0; ; ) {
      if (this.#state === "refused" || this.#state === "stopped") return false;
      if (reached()) return true;
      const before = this.#acknowledged;
      await this.#silence();
      if (this.#state !== "running" || reached() || this.#acknowledged > before) {
        tries = 0;
        continue;
      }
      // An old answer may have come late: only one that stands after it was asked again counts.
      if (tries > 0 && this.#reported < this.#forgottenBelow) return false;
      tries++;
      if (tries > TRIES_MAX) return false;
      this.#sendOffer();
      for (const chunk of this.#window) this.#sendChunk(chunk.offset, chunk.bytes, chunk.last);
    }
  }

  #silence(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.timer(SILENCE_MS, () => {
        this.#wake = undefined;
        resolve();
      });
      this.#wake = () => {
        timer.cancel();
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #sendOffer(): void {
    const { id, term, source, send } = this.#options;
    send({ type: "snapshot-offer", snapshot: id, term, start: source.start, meta: source.meta });
  }

  #sendChunk(offset: number, bytes: Uint8Array, last: boolean): void {
    const { id, crc32, send } = this.#options;
    send({ type: "snapshot-chunk", snapshot: id, offset, crc: crc32(bytes), last, bytes });
  }
}

interface Incoming {
  readonly offer: Offer;
  readonly from: NodeId;
  readonly file: DiskFile;
  readonly writer: RecordWriter;
  offset: number;
  state: "receiving" | "installing";
  /** When its sender was heard last. */
  heardMs: number;
}

export interface SnapshotInstall {
  readonly start: LogStart;
  readonly meta: Uint8Array;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** Receives snapshots for one group, one at a time. */
export class SnapshotReceiver {
  readonly #ports: Pick<Ports, "clock" | "disk" | "kernels" | "observer">;
  readonly #folder: string;
  readonly #wanted: (from: NodeId, offer: Offer) => boolean;
  readonly #install: (snapshot: SnapshotInstall) => Promise<void>;
  readonly #send: (to: NodeId, frame: PeerFrame) => void;
  #incoming: Incoming | undefined;
  /** Frames are handled one after the other: writes to the file may not overtake each other. */
  #queue: Promise<void> = Promise.resolve();
  #queued = 0;

  constructor(
    ports: Pick<Ports, "clock" | "disk" | "kernels" | "observer">,
    options: {
      readonly folder: string;
      readonly wanted: (from: NodeId, offer: Offer) => boolean;
      readonly install: (snapshot: SnapshotInstall) => Promise<void>;
      readonly send: (to: NodeId, frame: PeerFrame) => void;
    },
  ) {
    this.#ports = ports;
    this.#folder = options.folder;
    this.#wanted = options.wanted;
    this.#install = options.install;
    this.#send = options.send;
  }

  /** Rejects when the disk or the installation fails: the node must then stop. */
  handle(from: NodeId, frame: Offer | Chunk): Promise<void> {
    if (this.#queued > 4 * WINDOW_CHUNKS) return Promise.resolve(); // the sender repeats
    this.#queued++;
    const result = this.#queue.then(() =>
      this.#unlessFull(from, frame.snapshot, () =>
        frame.type === "snapshot-offer" ? this.#offer(from, frame) : this.#chunk(from, frame),
      ),
    );
    this.#queue = result.then(
      () => {
        this.#queued--;
      },
      () => {
        this.#queued--;
      },
    );
    return result;
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#incoming?.file.close();
    this.#incoming = undefined;
  }

  /** X3. */
  async #unlessFull(from: NodeId, snapshot: number, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!hasCode(error, "DISK_FULL") || this.#incoming?.state === "installing") throw error;
      this.#ports.observer.observe({ type: "snapshot-refused", level: "warn", why: "the disk is full" });
      await this.#discard();
      this.#send(from, { type: "snapshot-progress", snapshot, offset: 0, state: "refused" });
    }
  }

  async #discard(): Promise<void> {
    const incoming = this.#incoming;
    if (incoming === undefined) return;
    this.#incoming = undefined;
    await incoming.file.close();
    await this.#ports.disk.remove(incoming.file.path);
  }

  async #offer(from: NodeId, offer: Offer): Promise<void> {
    const current = this.#incoming;
    const nowMs = this.#ports.clock.monotonicMs();
    if (current?.offer.snapshot === offer.snapshot && current.from === from) {
      current.heardMs = nowMs;
      this.#progress(current, "receiving"); // resume where we are
      return;
    }
    if (!this.#wanted(from, offer) || this.#isTaken(from, nowMs)) {
      this.#send(from, { type: "snapshot-progress", snapshot: offer.snapshot, offset: 0, state: "refused" });
      return;
    }
    await this.#discard();
    const { disk, kernels } = this.#ports;
    await disk.makeFolder(this.#folder);
    const file = await disk.open(`${this.#folder}/snapshot.in`, { create: true });
    if (file === undefined) throw new AlthingError("DISK_FAILED", "Cannot create the file for an incoming snapshot");
    const writer = new RecordWriter(file, kernels);
    const incoming: Incoming = { offer, from, file, writer, offset: 0, state: "receiving", heardMs: nowMs };
    this.#incoming = incoming; // from here on it is given back, whatever happens
    await file.truncate(0);
    await writer.header();
    this.#progress(incoming, "receiving");
  }

  /** X4. */
  #isTaken(from: NodeId, nowMs: number): boolean {
    const current = this.#incoming;
    if (current === undefined || current.from === from || !this.#wanted(current.from, current.offer)) return false;
    return nowMs - current.heardMs < RECEIVER_PATIENCE_MS;
  }

  async #chunk(from: NodeId, chunk: Chunk): Promise<void> {
    const incoming = this.#incoming;
    if (incoming === undefined || incoming.offer.snapshot !== chunk.snapshot || incoming.from !== from) return;
    if (incoming.state !== "receiving") return;
    incoming.heardMs = this.#ports.clock.monotonicMs();
    if (chunk.offset !== incoming.offset || this.#ports.kernels.crc32(chunk.bytes) !== chunk.crc) {
      this.#progress(incoming, "receiving"); // repeated, out of order or damaged: say what we have
      return;
    }
    await incoming.writer.record(chunk.bytes);
    incoming.offset += chunk.bytes.length;
    if (!chunk.last) {
      this.#progress(incoming, "receiving");
      return;
    }
    await incoming.writer.end();
    await this.#finish(incoming);
  }

  async #finish(incoming: Incoming): Promise<void> {
    const { offer, from, file } = incoming;
    if (!this.#wanted(from, offer)) {
      this.#progress(incoming, "refused"); // the world moved on while it came
      await this.#discard();
      return;
    }
    await file.sync();
    incoming.state = "installing";
    const reader = new RecordReader(file, this.#ports.kernels);
    await reader.header();
    await this.#install({ start: offer.start, meta: offer.meta, chunks: reader.chunks() });
    this.#progress(incoming, "done");
    await file.close();
    await this.#ports.disk.remove(file.path);
    assert(this.#incoming === incoming, "one snapshot at a time");
    this.#incoming = undefined;
  }

  #progress(incoming: Incoming, state: Progress["state"]): void {
    const { snapshot } = incoming.offer;
    this.#send(incoming.from, { type: "snapshot-progress", snapshot, offset: incoming.offset, state });
  }
}
