/**
 * From failures of the layers below to what an etcd client understands: a gRPC code and, where clients match on it, etcd's
 * own text. The table names every `ErrorCode`: a new one does not compile until it is translated.
 * Source  etcd 3.4, `etcdserver/api/v3rpc/rpctypes/error.go` (codes and texts as they stand on the wire).
 */
import { AssertionError } from "../../base/assert.ts";
import { BytesError } from "../../base/bytes.ts";
import { AlthingError, type ErrorCode } from "../../base/errors.ts";
import { EtcdError } from "../../coordination/etcd-error.ts";
import { type GrpcCode, type GrpcStatus, grpcCode, grpcStatus } from "../grpc/status.ts";

interface Translation {
  readonly code: GrpcCode;
  /** etcd's text; undefined where etcd has none and the error's own message says more. */
  readonly text: string | undefined;
}

const { cancelled, invalidArgument, resourceExhausted, failedPrecondition, internal, unavailable, dataLoss } = grpcCode;

const translations: Readonly<Record<ErrorCode, Translation>> = {
  GROUP_NO_LEADER: { code: unavailable, text: "etcdserver: no leader" },
  GROUP_OVERLOADED: { code: resourceExhausted, text: "etcdserver: too many requests" },
  GROUP_DAMAGED: { code: dataLoss, text: "etcdserver: corrupt cluster" },
  OUTCOME_UNKNOWN: {
    code: unavailable,
    text: "etcdserver: request timed out, possibly due to previous leader failure",
  },
  SESSION_EXPIRED: { code: unavailable, text: "etcdserver: request timed out" },
  TIMEOUT: { code: unavailable, text: "etcdserver: request timed out" },
  ABORTED: { code: cancelled, text: "context canceled" },
  CLOSED: { code: unavailable, text: "etcdserver: server stopped" },
  NOT_LEADER: { code: failedPrecondition, text: "etcdserver: not leader" },
  MEMBERSHIP_REFUSED: { code: failedPrecondition, text: undefined },
  REQUEST_INVALID: { code: invalidArgument, text: undefined },
  REQUEST_TOO_LARGE: { code: invalidArgument, text: "etcdserver: request is too large" },
  CONFIG_INVALID: { code: internal, text: undefined },
  DISK_FULL: { code: resourceExhausted, text: "etcdserver: mvcc: database space exceeded" },
  DISK_FAILED: { code: unavailable, text: "etcdserver: server stopped" },
  DATA_LOCKED: { code: internal, text: undefined },
  DATA_NEWER: { code: internal, text: undefined },
  DATA_FOREIGN: { code: internal, text: undefined },
  DATA_CORRUPT: { code: dataLoss, text: "etcdserver: corrupt cluster" },
  ADDRESS_IN_USE: { code: internal, text: undefined },
  ADDRESS_UNSAFE: { code: internal, text: undefined },
  UNREACHABLE: { code: unavailable, text: "etcdserver: unhealthy cluster" },
};

/** The status of a failed call. A failed assertion goes on up: it is a bug, and stops the node. */
export function statusOf(error: unknown): GrpcStatus {
  if (error instanceof AssertionError) throw error;
  if (error instanceof AlthingError) {
    const { code, text } = translations[error.code];
    return grpcStatus(code, text ?? error.message);
  }
  if (error instanceof BytesError) return grpcStatus(internal, `grpc: error unmarshalling request: ${error.message}`);
  if (error instanceof EtcdError) return grpcStatus(error.grpc, error.message);
  return grpcStatus(grpcCode.unknown, error instanceof Error ? error.message : String(error));
}
