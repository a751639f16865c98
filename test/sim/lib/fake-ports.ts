/**
 * The smallest worlds for unit tests of single parts: a clock moved by hand, a disk of byte arrays that can be full or
 * broken, and a network that delivers at once. Whole nodes are tested in the simulator instead.
 */
import { crc32 } from "node:zlib";
import { AlthingError } from "../../../src/base/errors.ts";
import { Prng } from "../../../src/base/prng.ts";
import type { Clock, Timer } from "../../../src/ports/clock.ts";
import type { Disk, DiskFile } from "../../../src/ports/disk.ts";
import type { Kernels } from "../../../src/ports/kernels.ts";
import type { Connection, Listener, Network } from "../../../src/ports/network.ts";
import type { ObservedEvent, Observer } from "../../../src/ports/observer.ts";
import type { Random } from "../../../src/ports/random.ts";
import { simKernels } from "../../../src/sim/sim-kernels.ts";

export const fakeKernels: Kernels = { ...simKernels, crc32: (bytes, start) => crc32(bytes, start) };

export function fakeRandom(seed = 1): Random {
  const prng = new Prng(seed);
  return {
    unit: () => prng.unit(),
    below: (bound) => Math.floor(prng.unit() * bound),
    bytes: (length) => Uint8Array.from({ length }, () => prng.below(256)),
  };
}

export class FakeObserver implements Observer {
  readonly events: ObservedEvent[] = [];

  observe(event: ObservedEvent): void {
    this.events.push(event);
  }

  of(type: string): readonly ObservedEvent[] {
    return this.events.filter((event) => event.type === type);
  }
}

/** Lets every promise that is ready go on. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class FakeClock implements Clock {
  #nowMs = 1_000;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  timer(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((t) => t !== timer);
      },
    };
  }

  afterTurn(callback: () => void): void {
    queueMicrotask(callback);
  }

  /** Timers that have not run and were not cancelled. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Moves on, runs what becomes due in order of time, and lets promises go on after each. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    await settle();
    for (;;) {
      const next = this.#timers.filter((t) => t.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
      await settle();
    }
    this.#nowMs = untilMs;
  }
}

export class FakeDisk implements Disk {
  readonly files = new Map<string, Uint8Array>();
  /** Bytes that may still be written before DISK_FULL. */
  roomBytes = Number.POSITIVE_INFINITY;
  /** The next sync or read of a path with this text in it fails. */
  failsAt: string | undefined;
  /** Syncs wait for this. */
  syncGate: Promise<void> | undefined;
  readonly opened = new Set<DiskFile>();

  async open(path: string, options: { readonly create: boolean }): Promise<DiskFile | undefined> {
    if (!this.files.has(path)) {
      if (!options.create) return undefined;
      this.files.set(path, new Uint8Array(0));
    }
    const file: DiskFile = {
      path,
      write: async (buffers, offset) => {
        let at = offset;
        for (const buffer of buffers) {
          if (buffer.length > this.roomBytes) throw new AlthingError("DISK_FULL", `Cannot write ${path}: no space`);
          this.roomBytes -= buffer.length;
          const now = this.#bytes(path);
          const next = new Uint8Array(Math.max(now.length, at + buffer.length));
          next.set(now);
          next.set(buffer, at);
          this.files.set(path, next);
          at += buffer.length;
        }
      },
      read: async (target, offset) => {
        this.#maybeFail(path);
        const part = this.#bytes(path).subarray(offset, offset + target.length);
        target.set(part);
        return part.length;
      },
      sync: async () => {
        await this.syncGate;
        this.#maybeFail(path);
      },
      truncate: async (length) => void this.files.set(path, this.#bytes(path).slice(0, length)),
      allocate: async () => undefined,
      length: async () => this.#bytes(path).length,
      close: async () => void this.opened.delete(file),
    };
    this.opened.add(file);
    return file;
  }

  async list(folder: string): Promise<readonly string[]> {
    const prefix = folder === "" ? "" : `${folder}/`;
    return [...this.files.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length))
      .sort();
  }

  async makeFolder(): Promise<void> {
    return undefined;
  }

  async rename(from: string, to: string): Promise<void> {
    this.files.set(to, this.#bytes(from));
    this.files.delete(from);
  }

  async remove(path: string): Promise<void> {
    this.files.delete(path);
  }

  async syncDirectory(): Promise<void> {
    return undefined;
  }

  async lock(): Promise<{ close(): Promise<void> }> {
    return { close: async () => undefined };
  }

  async freeBytes(): Promise<number> {
    return this.roomBytes;
  }

  #bytes(path: string): Uint8Array {
    return this.files.get(path) ?? new Uint8Array(0);
  }

  #maybeFail(path: string): void {
    if (this.failsAt === undefined || !path.includes(this.failsAt)) return;
    throw new AlthingError("DISK_FAILED", `Cannot use ${path}: input/output error`);
  }
}

/** One end of a connection. Frames reach the other end at once, or when `release` is called while it is held. */
export class FakeConnection implements Connection {
  readonly bufferedBytes = 0;
  onFrame: (frame: Uint8Array) => void = () => undefined;
  onClose: (reason: string) => void = () => undefined;
  other: FakeConnection | undefined;
  isOpen = true;
  isHeld = false;
  readonly sent: Uint8Array[] = [];
  #held: Uint8Array[] = [];

  static pair(): readonly [FakeConnection, FakeConnection] {
    const a = new FakeConnection();
    const b = new FakeConnection();
    a.other = b;
    b.other = a;
    return [a, b];
  }

  send(frame: Uint8Array): void {
    if (!this.isOpen) return;
    this.sent.push(frame);
    if (this.isHeld) this.#held.push(frame);
    else this.#deliver(frame);
  }

  release(): void {
    this.isHeld = false;
    for (const frame of this.#held.splice(0)) this.#deliver(frame);
  }

  close(): void {
    this.end("closed by this node");
    queueMicrotask(() => this.other?.end("closed by the peer")); // after what was sent
  }

  /** This end alone learns that the connection broke. */
  end(reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    queueMicrotask(() => this.onClose(reason));
  }

  #deliver(frame: Uint8Array): void {
    queueMicrotask(() => {
      if (this.other?.isOpen === true) this.other.onFrame(frame.slice());
    });
  }
}

export class FakeNetwork implements Network {
  readonly #listeners = new Map<string, (connection: Connection) => void>();
  /** Dialling ends, in the order of dialling. */
  readonly dialled: { readonly address: string; readonly connection: FakeConnection }[] = [];

  async listen(address: string, onConnection: (connection: Connection) => void): Promise<Listener> {
    this.#listeners.set(address, onConnection);
    return {
      address,
      close: async () => {
        if (this.#listeners.get(address) === onConnection) this.#listeners.delete(address);
      },
    };
  }

  async dial(address: string): Promise<Connection> {
    const listener = this.#listeners.get(address);
    if (listener === undefined) throw new AlthingError("UNREACHABLE", `Cannot dial ${address}: nobody listens`);
    const [mine, theirs] = FakeConnection.pair();
    this.dialled.push({ address, connection: mine });
    queueMicrotask(() => listener(theirs));
    return mine;
  }
}
