/** Reading all of stdin, bounded: a value or a transaction is never larger than what a request may hold. */
import { CliFailure } from "./failure.ts";

export const STDIN_BYTES_MAX: number = 64 * 1024 * 1024;

export async function readStdin(signal: AbortSignal): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  const onAbort = (): void => void process.stdin.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of process.stdin) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
      length += bytes.length;
      if (length > STDIN_BYTES_MAX) {
        throw new CliFailure("usage", `Cannot read stdin: it is longer than ${STDIN_BYTES_MAX} bytes`);
      }
      chunks.push(bytes);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  signal.throwIfAborted();
  return Buffer.concat(chunks, length);
}
