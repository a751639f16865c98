/**
 * A lock as a replicated state machine. Leases end: a holder that is slow or dead does not block the others for ever. Every
 * grant has a fencing token, a number that rises; whoever is asked to do work for a holder can tell an old one by it.
 * Source: Burrows 2006, "The Chubby lock service", section 2.4 (sequencers).
 */
import { ByteReader, ByteWriter, type MachineSnapshot, type StateMachine } from "../../src/sim.ts"; // in your project: "althing/sim"

export type LockResult = { readonly granted: true; readonly token: number } | { readonly granted: false };

export interface LockState {
  /** 0: nobody holds the lock. */
  readonly holder: number;
  readonly token: number;
}

const ACQUIRE = 1;
const RELEASE = 2;

/** `nowMs` is the caller's clock: a machine has none, because all replicas must come to the same result. */
export function acquireCommand(client: number, nowMs: number, leaseMs: number): Uint8Array {
  return new ByteWriter().u8(ACQUIRE).varint(client).f64(nowMs).f64(leaseMs).finish();
}

export function releaseCommand(client: number, token: number): Uint8Array {
  return new ByteWriter().u8(RELEASE).varint(client).varint(token).finish();
}

export class LockMachine implements StateMachine<LockResult, undefined, LockState> {
  #holder = 0;
  #token = 0;
  #untilMs = 0;

  readonly results = {
    encode: (result: LockResult): Uint8Array => new ByteWriter().varint(result.granted ? result.token : 0).finish(),
    decode: (bytes: Uint8Array): LockResult => {
      const token = new ByteReader(bytes).varint();
      return token === 0 ? { granted: false } : { granted: true, token };
    },
  };

  apply(command: Uint8Array): LockResult {
    const input = new ByteReader(command);
    const isAcquire = input.u8() === ACQUIRE;
    const client = input.varint();
    return isAcquire ? this.#acquire(client, input.f64(), input.f64()) : this.#release(client, input.varint());
  }

  query(): LockState {
    return { holder: this.#holder, token: this.#token };
  }

  snapshot(): MachineSnapshot {
    const state = new ByteWriter().varint(this.#holder).varint(this.#token).f64(this.#untilMs).finish();
    return {
      async *chunks() {
        yield state;
      },
      close: () => undefined,
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) {
      const input = new ByteReader(chunk);
      this.#holder = input.varint();
      this.#token = input.varint();
      this.#untilMs = input.f64();
    }
  }

  #acquire(client: number, nowMs: number, leaseMs: number): LockResult {
    if (this.#holder !== 0 && nowMs < this.#untilMs) return { granted: false };
    this.#holder = client;
    this.#token++;
    this.#untilMs = nowMs + leaseMs;
    return { granted: true, token: this.#token };
  }

  #release(client: number, token: number): LockResult {
    if (this.#holder !== client || this.#token !== token) return { granted: false };
    this.#holder = 0;
    return { granted: true, token };
  }
}
