/**
 * The event loop's side of the writer threads. Each open environment has a thread of its own; the thread of a closed one
 * waits for the next, since starting one takes tens of milliseconds.
 */
import { Worker } from "node:worker_threads";
import { assert, unreachable } from "../base/assert.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError, type ErrorCode } from "../base/errors.ts";
import { moduleBeside } from "./module-beside.ts";

/** Requests come one at a time, in the order open, any number of writes, close, and then perhaps from the start. */
export type WriterRequest =
  | { readonly type: "open"; readonly folder: string; readonly verifyBytesMax: number }
  | { readonly type: "write"; readonly batch: Uint8Array<ArrayBuffer> }
  | { readonly type: "close" };

export type WriterAnswer =
  | { readonly type: "done" }
  /** Nothing of the request counts: nothing is open, or nothing written. */
  | {
      readonly type: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

export class LmdbWriter {
  readonly #thread: WriterThread;

  private constructor(thread: WriterThread) {
    this.#thread = thread;
  }

  /** Opens and verifies the environment on the thread, before any other thread touches the file. */
  static async open(folder: string, verifyBytesMax: number): Promise<LmdbWriter> {
    const thread = takeThread();
    try {
      await thread.request({ type: "open", folder, verifyBytesMax }, []);
    } catch (error) {
      giveThread(thread);
      throw error;
    }
    return new LmdbWriter(thread);
  }

  /** Takes the batch's memory. Rejects with DISK_FULL, DISK_FAILED or DATA_CORRUPT, and then nothing of it counts. */
  async write(batch: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#thread.request({ type: "write", batch }, [batch.buffer]);
  }

  /** Waits for a write that is under way. */
  async close(): Promise<void> {
    await this.#thread.idle();
    if (this.#thread.ended === undefined) await this.#thread.request({ type: "close" }, []);
    giveThread(this.#thread);
  }
}

const IDLE_THREADS_MAX = 2;
const idleThreads: WriterThread[] = [];

function takeThread(): WriterThread {
  for (let thread = idleThreads.pop(); thread !== undefined; thread = idleThreads.pop()) {
    if (thread.ended === undefined) return thread;
  }
  return new WriterThread();
}

function giveThread(thread: WriterThread): void {
  if (thread.ended !== undefined) return;
  if (idleThreads.length < IDLE_THREADS_MAX) idleThreads.push(thread);
  else thread.end();
}

class WriterThread {
  readonly #worker: Worker;
  #waiting: Deferred<void> | undefined;
  /** Why the thread is no more. */
  ended: AlthingError | undefined;

  constructor() {
    const resourceLimits = { maxYoungGenerationSizeMb: 2 }; // it makes little garbage: a large nursery would only be memory
    this.#worker = new Worker(moduleBeside(import.meta.url, "lmdb-writer-thread"), { execArgv: [], resourceLimits });
    this.#worker.on("message", (answer: WriterAnswer) => this.#answered(answer));
    this.#worker.on("error", (error) => this.#lost(error));
    this.#worker.on("exit", () => this.#lost(undefined));
  }

  /** The process stays alive for as long as an answer is due, and not longer. */
  async request(request: WriterRequest, memory: readonly ArrayBuffer[]): Promise<void> {
    if (this.ended !== undefined) throw this.ended;
    assert(this.#waiting === undefined, "a writer thread has one request at a time");
    const waiting = new Deferred<void>();
    this.#waiting = waiting;
    this.#worker.ref();
    this.#worker.postMessage(request, memory);
    try {
      await waiting.promise;
    } finally {
      this.#waiting = undefined;
      this.#worker.unref();
    }
  }

  /** Resolves when no request is under way. */
  async idle(): Promise<void> {
    while (this.#waiting !== undefined) {
      await this.#waiting.promise.catch(() => undefined);
      await Promise.resolve(); // after `request` has noted the end
    }
  }

  end(): void {
    void this.#worker.terminate();
  }

  #answered(answer: WriterAnswer): void {
    const waiting = this.#waiting;
    assert(waiting !== undefined, "an answer nobody waits for", answer);
    switch (answer.type) {
      case "done":
        waiting.resolve();
        break;
      case "failed":
        waiting.reject(new AlthingError(answer.code, answer.message, { details: answer.details }));
        break;
      default:
        unreachable(answer);
    }
  }

  #lost(cause: unknown): void {
    this.ended ??= new AlthingError("DISK_FAILED", "Cannot write: the writer thread has ended", { cause });
    this.#waiting?.reject(this.ended);
  }
}
