/** Changes of a range of keys, to be awaited one batch after the other: what locks and elections wait with. */
import { EtcdError } from "./etcd-error.ts";
import { type Event, type ResponseHeader, WatchCreateRequest } from "./messages.ts";
import type { WatchHub, WatchStream } from "./watch-hub.ts";

export interface ChangeBatch {
  readonly header: ResponseHeader | undefined;
  readonly events: readonly Event[];
}

/** Batches kept for a slow reader; then the stream is paused and the rest waits in the store. */
const BATCHES_MAX = 64;

export class ChangeQueue {
  readonly #stream: WatchStream;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#fail(this.#signal.reason);
  #batches: ChangeBatch[] = [];
  #failure: { readonly error: unknown } | undefined;
  #waiting: { readonly resolve: (batch: ChangeBatch) => void; readonly reject: (error: unknown) => void } | undefined;

  /** `rangeEnd` as in etcd: empty for a single key. Must be closed. */
  constructor(
    hub: WatchHub,
    what: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array; readonly startRevision: number },
    signal: AbortSignal,
  ) {
    this.#signal = signal;
    this.#stream = hub.open({
      onResponse: (response) => {
        if (response.canceled) {
          this.#fail(new EtcdError(response.compactRevision === 0 ? "TOO_MANY_REQUESTS" : "COMPACTED"));
        }
        if (response.events.length > 0) this.#add({ header: response.header, events: response.events });
      },
      onFailure: (error) => this.#fail(error),
    });
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
    this.#stream.request({ requestUnion: { type: "createRequest", value: WatchCreateRequest.make(what) } });
  }

  /** The next changes. Rejects with the signal's reason, COMPACTED, or what ended the watch. One call at a time. */
  next(): Promise<ChangeBatch> {
    const batch = this.#batches.shift();
    if (batch !== undefined) {
      if (this.#batches.length === 0) this.#stream.resume();
      return Promise.resolve(batch);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  close(): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#stream.close();
  }

  #add(batch: ChangeBatch): void {
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve(batch);
      return;
    }
    this.#batches.push(batch);
    if (this.#batches.length >= BATCHES_MAX) this.#stream.pause();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#failure.error);
  }
}
