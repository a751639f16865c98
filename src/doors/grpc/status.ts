/**
 * gRPC's status codes and the two header fields that carry one.
 * Source  gRPC over HTTP/2, "Responses" (Status, Status-Message); gRPC status code table.
 */
export const grpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export type GrpcCode = (typeof grpcCode)[keyof typeof grpcCode];

/** How a call ended. `message` is plain text; the wire's percent-encoding is `encodeGrpcMessage`'s business. */
export interface GrpcStatus {
  readonly code: GrpcCode;
  readonly message: string;
}

export const OK: GrpcStatus = { code: grpcCode.ok, message: "" };

export function grpcStatus(code: GrpcCode, message: string): GrpcStatus {
  return { code, message };
}

const plain = /^[\x20-\x24\x26-\x7e]*$/;

/** Status-Message: printable ASCII except `%` stands for itself, every other byte of the UTF-8 text is `%XX`. */
export function encodeGrpcMessage(text: string): string {
  if (plain.test(text)) return text;
  let out = "";
  for (const byte of new TextEncoder().encode(text)) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}
