/**
 * What a door does when a handler throws. A failed assertion is a bug and goes on up, to stop the node; anything else is
 * told to the Observer in full and to the caller without its inside.
 */
import { AssertionError } from "../../base/assert.ts";
import type { Observer } from "../../ports/observer.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";

export function handlerFailure(observer: Observer, path: string, error: unknown): GrpcStatus {
  if (error instanceof AssertionError) throw error;
  const message = error instanceof Error ? error.message : String(error);
  observer.observe({ type: "door-handler-failed", level: "error", path, message });
  return grpcStatus(grpcCode.internal, "internal error");
}
