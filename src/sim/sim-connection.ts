/**
 * One end of a simulated TCP connection that carries frames. Each end keeps what is on its way *to* it, in order; what is
 * in flight while the link is cut waits there, as TCP's retransmissions would, until the link heals or the connection is
 * reset.
 *
 * N1. In stream mode the frames that arrive are a prefix of those sent: no gap, no repetition, no change.
 * N2. `onClose` is called exactly once for every end that is handed out to a living process, and no frame comes after it.
 * N3. A dead process receives nothing and sends nothing.
 */
import type { Connection } from "../ports/network.ts";
import { hashBytes } from "./rolling-hash.ts";
import type { SimProcess } from "./sim-process.ts";
import { EventKind, type World } from "./world.ts";

/** The network around an end: how long things take and what goes wrong. */
export interface Fabric {
  readonly world: World;
  /** May bytes pass from one node to another at this moment? */
  isCut(from: number, to: number): boolean;
  delayMs(from: number, to: number, bytes: number): number;
  /** What happens to the next segment of a stream. */
  drawSegment(): "pass" | "reset" | "corrupt";
  /** What happens to one frame of a connection in datagram mode. */
  drawFrame(frame: Uint8Array): "pass" | "drop" | "duplicate" | "reorder";
  /** Bytes that the sockets and the wire hold before the sender sees any as buffered. */
  readonly windowBytes: number;
  /** Frames of a connection, per direction, that are always delivered in order: the handshake. */
  readonly reliableFrames: number;
  below(bound: number): number;
  /** The end wrote to a peer that no longer exists. */
  wroteToGone(end: SimConnection): void;
  closed(end: SimConnection): void;
  /** Told of all frames that arrive, for traces. */
  delivered?: (from: number, to: number, frames: readonly Uint8Array[], sentMs: number) => void;
}

type Item =
  | {
      readonly type: "frames";
      readonly frames: readonly Uint8Array[];
      readonly bytes: number;
      readonly hash: number;
      readonly sentMs: number;
    }
  | { readonly type: "fin" };

type State = "open" | "closing" | "closed";

export class SimConnection implements Connection {
  readonly process: SimProcess;
  readonly #fabric: Fabric;
  #peer: SimConnection | undefined;
  #state: State = "open";
  /** Sent in this turn, not yet handed to the kernel. */
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  /** On the way to this end. */
  readonly #incoming: Item[] = [];
  #incomingBytes = 0;
  /** The head of `#incoming` waits for a cut link. */
  #stalled = false;
  #stalledSinceMs = 0;
  #lastArrivalMs = 0;
  #framesSent = 0;
  #kept: Uint8Array[] = [];
  #closeReason: string | undefined;
  #frameHandler: ((frame: Uint8Array) => void) | undefined;
  #closeHandler: ((reason: string) => void) | undefined;

  private constructor(fabric: Fabric, process: SimProcess) {
    this.#fabric = fabric;
    this.process = process;
  }

  /** Two ends that belong together. */
  static pair(fabric: Fabric, a: SimProcess, b: SimProcess): readonly [SimConnection, SimConnection] {
    const left = new SimConnection(fabric, a);
    const right = new SimConnection(fabric, b);
    left.#peer = right;
    right.#peer = left;
    return [left, right];
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** The node at the other end. */
  get peerNode(): number {
    return this.#peer?.process.node ?? 0;
  }

  /** The other process is dead and could not say so. */
  get peerGone(): boolean {
    return this.#peer?.process.alive === false;
  }

  get stalledSinceMs(): number | undefined {
    return this.#stalled ? this.#stalledSinceMs : undefined;
  }

  get bufferedBytes(): number {
    const peer = this.#peer;
    const outstanding = this.#unsentBytes + (peer === undefined ? 0 : peer.#incomingBytes);
    return Math.max(0, outstanding - this.#fabric.windowBytes);
  }

  get onFrame(): (frame: Uint8Array) => void {
    return this.#frameHandler ?? ignore;
  }

  set onFrame(handler: (frame: Uint8Array) => void) {
    this.#frameHandler = handler;
    if (this.#kept.length > 0)
      this.#fabric.world.schedule(this.process, 0, EventKind.frames, 0, () => this.#handKept());
  }

  get onClose(): (reason: string) => void {
    return this.#closeHandler ?? ignore;
  }

  set onClose(handler: (reason: string) => void) {
    const late = this.#closeHandler === undefined && this.#closeReason !== undefined;
    this.#closeHandler = handler;
    if (late) this.#fabric.world.schedule(this.process, 0, EventKind.close, 0, () => this.#tellClosed());
  }

  send(frame: Uint8Array): void {
    if (this.#state !== "open" || !this.process.alive) return;
    if (this.#unsent.length === 0) this.#fabric.world.atTurnEnd(() => this.#flush());
    this.#unsent.push(frame);
    this.#unsentBytes += frame.length;
  }

  close(): void {
    if (this.#state !== "open" || !this.process.alive) return;
    this.#flush();
    this.#state = "closing";
    if (this.peerGone) this.#fabric.wroteToGone(this);
    else if (this.#peer !== undefined) this.#peer.#enqueue({ type: "fin" });
    this.#fabric.world.schedule(this.process, 0.001, EventKind.close, 0, () => this.#finish("closed here"));
  }

  /** The kernel of a killed process closes its sockets for it: the peer hears of it, if it can be reached. */
  abandon(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#incoming.length = 0;
    this.#incomingBytes = 0;
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#fabric.closed(this);
  }

  /** Ends the connection abruptly at this end; what is on its way here is lost. */
  break(reason: string, delayMs = 0): void {
    if (this.#state === "closed") return;
    const { world } = this.#fabric;
    world.schedule(this.process, delayMs, EventKind.close, 1, () => {
      this.#incoming.length = 0;
      this.#incomingBytes = 0;
      this.#stalled = false;
      this.#finish(reason);
    });
  }

  /** Both ends break, each after a delay of its own. */
  reset(reason: string): void {
    const peer = this.#peer;
    this.break(reason, this.#fabric.below(1000) / 1000);
    peer?.break(reason, this.#fabric.below(1000) / 1000);
  }

  /** The link towards this end works again: what waited is sent again. */
  resumeStalled(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    const count = this.#incoming.length;
    for (let i = 0; i < count; i++) this.#scheduleArrival(this.#incoming[i]);
  }

  /** Hands the turn's frames to the kernel, which copies them. */
  #flush(): void {
    if (this.#unsent.length === 0) return;
    const unsent = this.#unsent;
    this.#unsent = [];
    this.#unsentBytes = 0;
    const peer = this.#peer;
    if (!this.process.alive || this.#state !== "open" || peer === undefined) return; // N3
    if (this.peerGone) {
      this.#fabric.wroteToGone(this);
      return;
    }
    let stream: Uint8Array[] = [];
    for (const frame of unsent) {
      const copy = copyFrame(frame);
      const fate = this.#framesSent++ < this.#fabric.reliableFrames ? "pass" : this.#fabric.drawFrame(copy);
      if (fate === "pass" || fate === "duplicate") stream.push(copy);
      if (fate === "duplicate" || fate === "reorder") peer.#arriveAlone(fate === "duplicate" ? copy.slice() : copy);
    }
    if (stream.length === 0) return;
    const segment = this.#fabric.drawSegment();
    if (segment !== "pass") stream = stream.slice(0, this.#fabric.below(stream.length + 1));
    if (stream.length > 0) {
      let bytes = 0;
      let hash = 0;
      for (const frame of stream) {
        bytes += frame.length;
        hash = hashBytes(frame, hash);
      }
      peer.#enqueue({ type: "frames", frames: stream, bytes, hash, sentMs: this.#fabric.world.nowMs });
    }
    if (segment === "reset") this.reset("reset by the network");
    if (segment === "corrupt") {
      const { node } = this.process;
      peer.break("checksum mismatch", this.#fabric.delayMs(node, peer.process.node, 0));
      this.break("reset by peer", this.#fabric.delayMs(node, peer.process.node, 0) * 2);
    }
  }

  #enqueue(item: Item): void {
    if (this.#state === "closed") return;
    this.#incoming.push(item);
    if (item.type === "frames") this.#incomingBytes += item.bytes;
    if (!this.#stalled) this.#scheduleArrival(item);
  }

  #scheduleArrival(item: Item | undefined): void {
    if (item === undefined) return;
    const { world } = this.#fabric;
    const bytes = item.type === "frames" ? item.bytes : 0;
    const delay = this.#fabric.delayMs(this.peerNode, this.process.node, bytes);
    const at = Math.max(this.#lastArrivalMs, world.nowMs + delay);
    this.#lastArrivalMs = at;
    const payload = item.type === "frames" ? item.hash : 0;
    world.schedule(this.process, at - world.nowMs, EventKind.frames, payload, () => this.#arrive());
  }

  /** The head of the queue is here. Each scheduled arrival takes one item, so the order is that of the queue (N1). */
  #arrive(): void {
    const head = this.#incoming[0];
    if (head === undefined || this.#stalled) return;
    if (this.#fabric.isCut(this.peerNode, this.process.node)) {
      this.#stalled = true;
      this.#stalledSinceMs = this.#fabric.world.nowMs;
      return;
    }
    this.#incoming.shift();
    if (head.type === "fin") {
      this.#finish("closed by peer");
      return;
    }
    this.#incomingBytes -= head.bytes;
    this.#fabric.delivered?.(this.peerNode, this.process.node, head.frames, head.sentMs);
    for (const frame of head.frames) this.#receive(frame);
  }

  /** Datagram mode: a frame that travels outside the stream. */
  #arriveAlone(frame: Uint8Array): void {
    const from = this.peerNode;
    const to = this.process.node;
    const sentMs = this.#fabric.world.nowMs;
    const delay = this.#fabric.delayMs(from, to, frame.length) * (1 + this.#fabric.below(20));
    this.#fabric.world.schedule(this.process, delay, EventKind.frames, hashBytes(frame), () => {
      if (this.#fabric.isCut(from, to)) return;
      this.#fabric.delivered?.(from, to, [frame], sentMs);
      this.#receive(frame);
    });
  }

  #receive(frame: Uint8Array): void {
    if (this.#state !== "open") return; // N2
    if (this.#frameHandler === undefined || this.#kept.length > 0) this.#kept.push(frame);
    else this.#frameHandler(frame);
  }

  #handKept(): void {
    const kept = this.#kept;
    this.#kept = [];
    for (const frame of kept) this.#receive(frame);
  }

  #finish(reason: string): void {
    if (this.#state === "closed") return;
    if (this.#frameHandler !== undefined) this.#handKept();
    this.#state = "closed";
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#incoming.length = 0;
    this.#incomingBytes = 0;
    this.#closeReason = reason;
    this.#fabric.closed(this);
    this.#tellClosed();
  }

  #tellClosed(): void {
    const handler = this.#closeHandler;
    if (handler !== undefined && this.#closeReason !== undefined) handler(this.#closeReason);
  }
}

function ignore(): void {}

/** Small frames share memory, as Node.js's buffers do: an allocation for each would cost more than the copy. */
const SLAB_BYTES = 8 * 1024;
const SHARED_BYTES_MAX = 1024;
let slab = new Uint8Array(SLAB_BYTES);
let slabUsed = 0;

function copyFrame(frame: Uint8Array): Uint8Array {
  const { length } = frame;
  if (length > SHARED_BYTES_MAX) return frame.slice();
  if (slabUsed + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabUsed = 0;
  }
  const copy = slab.subarray(slabUsed, slabUsed + length);
  copy.set(frame);
  slabUsed += length;
  return copy;
}
