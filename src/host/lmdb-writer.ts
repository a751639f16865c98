/** The event loop's side of the writer thread: one request at a time, each with its promise. */
import { Worker } from "node:worker_threads";
import { assert, unreachable } from "../base/assert.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError, type ErrorCode } from "../base/errors.ts";
import { moduleBeside } from "./module-beside.ts";

export interface WriterData {
  readonly folder: string;
  readonly verifyBytesMax: number;
}

export type WriterRequest =
  | { readonly type: "write"; readonly batch: Uint8Array<ArrayBuffer> }
  | { readonly type: "close" };

export type WriterAnswer =
  /** The first answer, unless opening failed. */
  | { readonly type: "opened" }
  | { readonly type: "written" }
  /** Of the opening, or of one write of which nothing counts. */
  | {
      readonly type: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    }
  | { readonly type: "closed" };

export class LmdbWriter {
  readonly #worker: Worker;
  readonly #folder: string;
  #waiting: Deferred<void> | undefined;
  #ended: AlthingError | undefined;

  private constructor(data: WriterData) {
    this.#folder = data.folder;
    this.#worker = new Worker(moduleBeside(import.meta.url, "lmdb-writer-thread"), { workerData: data, execArgv: [] });
    this.#worker.on("message", (answer: WriterAnswer) => this.#answered(answer));
    this.#worker.on("error", (error) => this.#lost(error));
    this.#worker.on("exit", () => this.#lost(undefined));
  }

  /** Opens and verifies the environment on the new thread. */
  static async start(data: WriterData): Promise<LmdbWriter> {
    const writer = new LmdbWriter(data);
    try {
      await writer.#wait();
    } catch (error) {
      await writer.#worker.terminate();
      throw error;
    }
    return writer;
  }

  /** Takes the batch's memory. Rejects with DISK_FULL, DISK_FAILED or DATA_CORRUPT, and then nothing of it counts. */
  async write(batch: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#request({ type: "write", batch }, [batch.buffer]);
  }

  /** Waits for a write that is under way, then ends the thread. */
  async close(): Promise<void> {
    await this.#waiting?.promise.catch(() => undefined);
    if (this.#ended !== undefined) return;
    await this.#request({ type: "close" }, []);
    await this.#worker.terminate();
  }

  async #request(request: WriterRequest, memory: readonly ArrayBuffer[]): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#worker.postMessage(request, memory);
    await this.#wait();
  }

  /** The process stays alive for as long as an answer is due, and not longer. */
  async #wait(): Promise<void> {
    assert(this.#waiting === undefined, "the writer has one request at a time");
    const waiting = new Deferred<void>();
    this.#waiting = waiting;
    this.#worker.ref();
    try {
      await waiting.promise;
    } finally {
      this.#waiting = undefined;
      this.#worker.unref();
    }
  }

  #answered(answer: WriterAnswer): void {
    const waiting = this.#waiting;
    assert(waiting !== undefined, "an answer nobody waits for", answer);
    switch (answer.type) {
      case "opened":
      case "written":
      case "closed":
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
    this.#ended ??= new AlthingError("DISK_FAILED", `Cannot write to ${this.#folder}: the writer thread has ended`, {
      cause,
    });
    this.#waiting?.reject(this.#ended);
  }
}
