/**
 * Keeping a lease alive from a client: a renewal every third of its time to live. Each renewal is a call of its own, one
 * message there and one back, so that it has a deadline and moves to another node when one is paused or gone.
 */
import { callTrouble } from "../grpc/call-failure.ts";
import type { GrpcClient } from "../grpc/client.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { GrpcError } from "../grpc/status.ts";
import { pause } from "../pause.ts";
import { lease } from "./api.ts";

const RETRY_MS = 200;

/**
 * Yields the seconds to live after each renewal; 0, the end of the lease, is the last. Fails when no node has answered
 * for as long as the lease may live, and on any answer that trying again would not change.
 */
export async function* keepLease(client: GrpcClient, id: bigint, signal: AbortSignal): AsyncGenerator<number> {
  let livesUntil = performance.now() + client.timeoutMs; // before the first answer nothing better is known
  let timeoutMs = client.timeoutMs;
  while (!signal.aborted) {
    const sent = performance.now();
    let seconds: number;
    try {
      const answer = await client.unary(lease.keepAlive, { id }, { signal, timeoutMs });
      seconds = answer.ttl;
    } catch (error) {
      if (signal.aborted) return;
      if (!mayRecover(error) || performance.now() > livesUntil) throw error;
      client.avoid();
      await pause(RETRY_MS, signal);
      continue;
    }
    yield seconds;
    if (seconds <= 0) return;
    livesUntil = sent + seconds * 1_000;
    timeoutMs = (seconds * 1_000) / 3;
    await pause(Math.max(0, sent + timeoutMs - performance.now()), signal);
  }
}

/** Resolves with the reason when a lease can no longer be kept; with undefined when the signal ended the keeping. */
export async function untilLost(renewals: AsyncGenerator<number>, signal: AbortSignal): Promise<string | undefined> {
  try {
    for await (const seconds of renewals) if (seconds <= 0) return "the lease expired";
    return undefined;
  } catch (error) {
    return signal.aborted ? undefined : callTrouble(error);
  }
}

function mayRecover(error: unknown): boolean {
  if (!(error instanceof GrpcError)) return false;
  return (
    error.progress !== "answered" || error.code === grpcCode.unavailable || error.code === grpcCode.deadlineExceeded
  );
}
