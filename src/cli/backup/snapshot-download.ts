/**
 * A snapshot of a running cluster, into a file. It is written beside its name, checked while it comes, synced, and only then
 * gets the name: whatever file stands there afterwards was whole.
 */
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { CliFailure } from "../failure.ts";
import { describeSnapshotFile, type SnapshotSummary } from "../../coordination/snapshot-file.ts";
import { nodeKernels } from "../../host/node-kernels.ts";
import { kv, maintenance } from "../etcd/api.ts";
import type { GrpcClient } from "../grpc/client.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { GrpcError } from "../grpc/status.ts";

export interface DownloadOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/**
 * Fails with `GrpcError`, with DATA_CORRUPT or DATA_FOREIGN if what came is no whole snapshot of Althing, or with an error of
 * the file system. Nothing is left behind then.
 */
export async function downloadSnapshot(
  client: GrpcClient,
  file: string,
  { signal, onProgress }: DownloadOptions,
): Promise<SnapshotSummary> {
  // A node answers this only once it has applied all that was acknowledged before, so its snapshot holds that too.
  const { header } = await client.unary(kv.range, { key: Uint8Array.of(0), countOnly: true }, { signal });
  const aside = `${file}.part`;
  const handle = await open(aside, "w", 0o600); // a snapshot holds every value
  try {
    let summary: SnapshotSummary;
    try {
      summary = await describeSnapshotFile(writing(handle, blobs(client, signal), onProgress), nodeKernels);
      const least = header?.revision ?? 0;
      if (summary.revision < least) {
        throw new CliFailure(
          "unhealthy",
          `Cannot keep the snapshot of ${client.endpoint}: it ends at revision ${summary.revision}, the cluster was at ${least}`,
          { next: "run it again, or name another node with --endpoints" },
        );
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, file);
    await syncFolder(path.dirname(file));
    return summary;
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

async function* blobs(client: GrpcClient, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const silence = new AbortController();
  const onAbort = (): void => silence.abort();
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(onAbort, client.timeoutMs);
  try {
    const stream = await client.stream(maintenance.snapshot, { signal: silence.signal });
    stream.send({});
    stream.finish();
    for await (const { blob } of stream) {
      timer.refresh(); // the time-out is for each piece: how long the whole may take depends on its size
      yield blob;
    }
    if (!silence.signal.aborted) return;
    const why = signal.aborted ? "the call was given up" : `nothing came for ${client.timeoutMs} ms`;
    throw new GrpcError(signal.aborted ? grpcCode.cancelled : grpcCode.deadlineExceeded, why, {
      progress: "lost",
      endpoint: client.endpoint,
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** The same pieces, each written before the next is asked for. */
async function* writing(
  handle: FileHandle,
  pieces: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten;
    bytes += piece.length;
    onProgress(bytes);
    yield piece;
  }
}

/** Makes a name in the folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
