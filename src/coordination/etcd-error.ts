/**
 * The errors of the etcd v3 protocol: gRPC status code and message, as clients know them and match them. Source: the public
 * error list of etcd 3.4 (`rpctypes`); messages are part of the protocol, clients compare them letter by letter.
 */

/** gRPC status codes (grpc.io, "Status codes and their use"). */
export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
} as const;
export type GrpcCode = (typeof GrpcCode)[keyof typeof GrpcCode];

interface Row {
  readonly grpc: GrpcCode;
  readonly text: string;
}

export const etcdErrors = {
  EMPTY_KEY: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: key is not provided" },
  KEY_NOT_FOUND: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: key not found" },
  VALUE_PROVIDED: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: value is provided" },
  LEASE_PROVIDED: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: lease is provided" },
  TOO_MANY_OPS: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: too many operations in txn request" },
  DUPLICATE_KEY: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: duplicate key given in txn request" },
  REQUEST_TOO_LARGE: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: request is too large" },
  COMPACTED: { grpc: GrpcCode.OUT_OF_RANGE, text: "etcdserver: mvcc: required revision has been compacted" },
  FUTURE_REVISION: {
    grpc: GrpcCode.OUT_OF_RANGE,
    text: "etcdserver: mvcc: required revision is a future revision",
  },
  NO_SPACE: { grpc: GrpcCode.RESOURCE_EXHAUSTED, text: "etcdserver: mvcc: database space exceeded" },
  TOO_MANY_REQUESTS: { grpc: GrpcCode.RESOURCE_EXHAUSTED, text: "etcdserver: too many requests" },
  LEASE_NOT_FOUND: { grpc: GrpcCode.NOT_FOUND, text: "etcdserver: requested lease not found" },
  LEASE_EXISTS: { grpc: GrpcCode.FAILED_PRECONDITION, text: "etcdserver: lease already exists" },
  LEASE_TTL_TOO_LARGE: { grpc: GrpcCode.OUT_OF_RANGE, text: "etcdserver: too large lease TTL" },
  MEMBER_EXISTS: { grpc: GrpcCode.FAILED_PRECONDITION, text: "etcdserver: member ID already exist" },
  PEER_URL_EXISTS: { grpc: GrpcCode.FAILED_PRECONDITION, text: "etcdserver: Peer URLs already exists" },
  MEMBER_NOT_ENOUGH_STARTED: {
    grpc: GrpcCode.FAILED_PRECONDITION,
    text: "etcdserver: re-configuration failed due to not enough started members",
  },
  MEMBER_BAD_URLS: { grpc: GrpcCode.INVALID_ARGUMENT, text: "etcdserver: given member URLs are invalid" },
  MEMBER_NOT_FOUND: { grpc: GrpcCode.NOT_FOUND, text: "etcdserver: member not found" },
  MEMBER_NOT_LEARNER: {
    grpc: GrpcCode.FAILED_PRECONDITION,
    text: "etcdserver: can only promote a learner member",
  },
  LEARNER_NOT_READY: {
    grpc: GrpcCode.FAILED_PRECONDITION,
    text: "etcdserver: can only promote a learner member which is in sync with leader",
  },
  NOT_LEADER: { grpc: GrpcCode.FAILED_PRECONDITION, text: "etcdserver: not leader" },
  BAD_LEADER_TRANSFEREE: { grpc: GrpcCode.FAILED_PRECONDITION, text: "etcdserver: bad leader transferee" },
  NO_LEADER: { grpc: GrpcCode.UNAVAILABLE, text: "etcdserver: no leader" },
  LEADER_CHANGED: { grpc: GrpcCode.UNAVAILABLE, text: "etcdserver: leader changed" },
  STOPPED: { grpc: GrpcCode.UNAVAILABLE, text: "etcdserver: server stopped" },
  TIMEOUT: { grpc: GrpcCode.UNAVAILABLE, text: "etcdserver: request timed out" },
  TIMEOUT_CONNECTION_LOST: {
    grpc: GrpcCode.UNAVAILABLE,
    text: "etcdserver: request timed out, possibly due to connection lost",
  },
  UNHEALTHY: { grpc: GrpcCode.UNAVAILABLE, text: "etcdserver: unhealthy cluster" },
  CORRUPT: { grpc: GrpcCode.DATA_LOSS, text: "etcdserver: corrupt cluster" },
  AUTH_NOT_ENABLED: { grpc: GrpcCode.FAILED_PRECONDITION, text: "etcdserver: authentication is not enabled" },
  ELECTION_NO_LEADER: { grpc: GrpcCode.UNKNOWN, text: "election: no leader" },
  ELECTION_NOT_LEADER: { grpc: GrpcCode.UNKNOWN, text: "election: not leader" },
  ELECTION_LEADER_MISSING: { grpc: GrpcCode.UNKNOWN, text: '"leader" field must be provided' },
  LOCK_SESSION_EXPIRED: { grpc: GrpcCode.UNKNOWN, text: "mutex: session is expired" },
  CANCELLED: { grpc: GrpcCode.CANCELLED, text: "context canceled" },
  /** Not of etcd: the bytes are no request. gRPC servers say it in words of their own. */
  REQUEST_MALFORMED: { grpc: GrpcCode.INTERNAL, text: "grpc: error unmarshalling request" },
  /** Not of etcd: a leader's proposal was overtaken by a new term. Never reaches a client. */
  FENCED: { grpc: GrpcCode.FAILED_PRECONDITION, text: "etcdserver: leader changed" },
  UNSUPPORTED: { grpc: GrpcCode.UNIMPLEMENTED, text: "etcdserver: not supported" },
} as const satisfies Readonly<Record<string, Row>>;

export type EtcdErrorCode = keyof typeof etcdErrors;

/** Reasons given for a watch that is refused; not gRPC errors, but text inside a `WatchResponse`. */
export const watchRefusals = {
  duplicateId: "mvcc: duplicate watch ID provided on the WatchStream",
  emptyRange: "mvcc: watcher range is empty",
} as const;

/** What a service method throws: one row of the table, with the cause if there is one. */
export class EtcdError extends Error {
  readonly code: EtcdErrorCode;
  readonly grpc: GrpcCode;

  constructor(code: EtcdErrorCode, options: { readonly cause?: unknown } = {}) {
    super(etcdErrors[code].text, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "EtcdError";
    this.code = code;
    this.grpc = etcdErrors[code].grpc;
  }
}

export function isEtcdErrorCode(text: string): text is EtcdErrorCode {
  return Object.hasOwn(etcdErrors, text);
}
