/** What a failed call means to the person at the terminal: which exit code, and what to do next. */
import type { ExitName } from "../exit-codes.ts";
import { CliFailure, toFailure } from "../failure.ts";
import { hint } from "../invocation.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { GrpcError, grpcStatusName } from "./status.ts";

/** Why a call failed, in a few words and without the place: for sentences that name the place themselves. */
export function callTrouble(error: unknown): string {
  return error instanceof GrpcError ? error.message : toFailure(error).message;
}

export function callFailure(error: unknown, endpoints: readonly string[]): CliFailure {
  if (!(error instanceof GrpcError)) return toFailure(error);
  const code = grpcStatusName(error.code);
  const where = endpoints.length === 1 ? (endpoints[0] ?? "") : `any of ${endpoints.join(", ")}`;
  if (error.progress === "not-sent") {
    return new CliFailure("unreachable", `Cannot reach ${where}: ${error.message}`, {
      code,
      next: `${hint("dev")} starts a local cluster; --endpoints HOST:PORT names another`,
      cause: error,
    });
  }
  if (error.code === grpcCode.deadlineExceeded || error.message === "etcdserver: request timed out") {
    return new CliFailure(
      "timeout",
      `Cannot finish in time at ${error.endpoint}: ${error.message}; a write may still happen`,
      {
        code,
        next: `${hint("status")}; --timeout 30s waits longer`,
        cause: error,
      },
    );
  }
  if (error.progress === "lost") {
    return new CliFailure(
      "failure",
      `Cannot tell the outcome: ${error.endpoint} ${error.message}; a write may or may not have happened`,
      {
        code: "OUTCOME_UNKNOWN",
        next: "read the key and decide",
        cause: error,
      },
    );
  }
  if (error.message === "etcdserver: user name is empty") {
    // etcd calls a missing token an invalid argument; to the person it is a matter of permission.
    return new CliFailure("permission", `Cannot do this at ${error.endpoint}: it demands a user`, {
      code: "UNAUTHENTICATED",
      next: "this command line has no users yet; use etcdctl --user",
      cause: error,
    });
  }
  return new CliFailure(exitOfStatus(error), `Cannot do this at ${error.endpoint}: ${error.message}`, {
    code,
    next: error.message.includes("no leader") ? hint("status") : undefined,
    cause: error,
  });
}

function exitOfStatus(error: GrpcError): ExitName {
  switch (error.code) {
    case grpcCode.cancelled:
      return "interrupted";
    case grpcCode.invalidArgument:
      return "usage";
    case grpcCode.notFound:
      return "notFound";
    case grpcCode.alreadyExists:
    case grpcCode.failedPrecondition:
    case grpcCode.aborted:
    case grpcCode.outOfRange:
      return "conflict";
    case grpcCode.permissionDenied:
    case grpcCode.unauthenticated:
      return "permission";
    case grpcCode.unavailable:
      return "unhealthy";
    default:
      return "failure";
  }
}
