/**
 * Lines to a file descriptor, mostly stderr, without ever making the event loop wait for the reader of a full pipe: one
 * write at a time goes through the thread pool. Over `bufferedBytesMax` of unwritten text, and after a write error,
 * lines are dropped and counted. What is left when the process exits is written then.
 */
import { write, writeSync } from "node:fs";

const BUFFERED_BYTES_MAX = 1024 * 1024;
const RETRY_MS = 10;
/** Time for the write that is under way in the pool when the process exits. */
const EXIT_WAIT_MS = 20;

export class LineOutput {
  readonly #fd: number;
  readonly #bufferedBytesMax: number;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #underWay: Buffer | undefined;
  #dropped = 0;

  constructor(fd: number, options: { readonly bufferedBytesMax?: number } = {}) {
    this.#fd = fd;
    this.#bufferedBytesMax = options.bufferedBytesMax ?? BUFFERED_BYTES_MAX;
    atExit.add(this);
    hookExit();
  }

  /** `line` ends in a line end. */
  write(line: string): void {
    if (this.#waitingBytes + line.length > this.#bufferedBytesMax) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#next();
  }

  /** Lines dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  #next(): void {
    if (this.#underWay !== undefined || this.#waiting.length === 0) return;
    this.#send(Buffer.from(this.#takeWaiting()));
  }

  #send(bytes: Buffer): void {
    this.#underWay = bytes;
    write(this.#fd, bytes, (error, written) => {
      const left = error === null ? bytes.subarray(written) : bytes;
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#send(left), RETRY_MS).unref(); // a non-blocking pipe that is full
        return;
      }
      if (error === null && left.length > 0) {
        this.#send(left);
        return;
      }
      if (error !== null) this.#dropped++; // nobody reads any more, or the disk is full
      this.#underWay = undefined;
      this.#next();
    });
  }

  #takeWaiting(): string {
    const text = this.#waiting.join("");
    this.#waiting = [];
    this.#waitingBytes = 0;
    return text;
  }

  /** Only for the end of the process. */
  writeRest(): void {
    if (this.#underWay !== undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, EXIT_WAIT_MS);
    if (this.#waiting.length === 0) return;
    try {
      writeSync(this.#fd, this.#takeWaiting());
    } catch {
      // nobody reads any more
    }
  }
}

const atExit = new Set<LineOutput>();
let hooked = false;

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  process.on("exit", () => {
    for (const output of atExit) output.writeRest();
  });
}
