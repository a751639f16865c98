/**
 * Loads a gRPC method with nghttp2's h2load (nghttp2.org/documentation/h2load.1.html) and reads its report. h2load sees
 * HTTP only: a gRPC failure is a 200 to it. Whoever calls this checks what the requests did; see `kv-load.ts`.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface H2loadOptions {
  /** `host:port`. */
  readonly endpoint: string;
  readonly method: string;
  /** One framed gRPC message, sent with every request. */
  readonly body: Uint8Array;
  readonly clients: number;
  /** Requests under way on one connection. */
  readonly streams: number;
  readonly requests: number;
}

export interface H2loadReport {
  readonly requestsPerSecond: number;
  readonly succeeded: number;
  /** Bytes of answer bodies. */
  readonly dataBytes: number;
  readonly meanLatencyMs: number;
  readonly maxLatencyMs: number;
}

/** Arguments but for the file with the body: what a reader types to repeat it. */
export function h2loadArguments(options: Omit<H2loadOptions, "body">, bodyFile: string): readonly string[] {
  return [
    `-c${options.clients}`,
    `-m${options.streams}`,
    `-n${options.requests}`,
    "-t1",
    "-H",
    "content-type: application/grpc",
    "-H",
    "te: trailers",
    "-d",
    bodyFile,
    `http://${options.endpoint}${options.method}`,
  ];
}

export async function runH2load(options: H2loadOptions): Promise<H2loadReport> {
  const folder = mkdtempSync(join(tmpdir(), "althing-h2load-"));
  try {
    const bodyFile = join(folder, "body.bin");
    writeFileSync(bodyFile, options.body);
    const output = await outputOf("h2load", h2loadArguments(options, bodyFile));
    return parseH2load(output, options.requests);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Reads a report. Fails unless all `requests` were answered with 2xx. */
export function parseH2load(output: string, requests: number): H2loadReport {
  const field = (what: string, pattern: RegExp): string => {
    const found = pattern.exec(output)?.[1];
    if (found === undefined) throw new Error(`Cannot read h2load's report: no ${what} in:\n${output}`);
    return found;
  };
  const succeeded = Number(
    field("count of requests", /^requests: .* (\d+) succeeded, 0 failed, 0 errored, 0 timeout$/m),
  );
  const ok = Number(field("count of statuses", /^status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx$/m));
  if (succeeded !== requests || ok !== requests) {
    throw new Error(`Cannot use the run: ${succeeded} of ${requests} requests succeeded, ${ok} with a 2xx status`);
  }
  const latency = /^time for request:\s+\S+\s+(\S+)\s+(\S+)/m.exec(output);
  return {
    requestsPerSecond: Number(field("rate", /^finished in \S+, ([\d.]+) req\/s/m)),
    succeeded,
    dataBytes: Number(field("data bytes", /\((\d+)\) data$/m)),
    maxLatencyMs: milliseconds(latency?.[1] ?? ""),
    meanLatencyMs: milliseconds(latency?.[2] ?? ""),
  };
}

function milliseconds(text: string): number {
  const [, number, unit] = /^([\d.]+)(us|ms|s)$/.exec(text) ?? [];
  if (number === undefined) throw new Error(`Cannot read h2load's report: "${text}" is no time`);
  return Number(number) * (unit === "us" ? 0.001 : unit === "ms" ? 1 : 1000);
}

async function outputOf(file: string, args: readonly string[]): Promise<string> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", (error) => reject(new Error(`Cannot run ${file}: ${error.message}`)));
    child.on("close", resolve);
  });
  const output = Buffer.concat(chunks).toString("utf8");
  if (code !== 0) throw new Error(`Cannot run ${file}: it ended with ${code}\n${output}`);
  return output;
}
