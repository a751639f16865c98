/**
 * The head and the tail of an answer as header fields: made once where they are always the same.
 * Source  gRPC over HTTP/2, "Responses" (Trailers-Only, Trailers).
 */
import { OK_STATUS, type WireField, wireField } from "../http2/hpack-encoder.ts";
import { encodeGrpcMessage, type GrpcStatus } from "./status.ts";

const PLAIN = "application/grpc";
const PLAIN_HEADERS: readonly WireField[] = [OK_STATUS, wireField("content-type", PLAIN, true)];
const STATUS_FIELDS: readonly WireField[] = Array.from({ length: 17 }, (_, code) =>
  wireField("grpc-status", String(code), true),
);
/** A text that is longer is cut: it must leave in one frame with its fellows. */
const MESSAGE_BYTES_MAX = 8 * 1024;

export const OK_TRAILERS: readonly WireField[] = STATUS_FIELDS.slice(0, 1);

/** The headers before the first message. `contentType` is the caller's own, so that a subtype comes back. */
export function responseHeaders(contentType: string): readonly WireField[] {
  return contentType === PLAIN ? PLAIN_HEADERS : [OK_STATUS, wireField("content-type", contentType)];
}

export function statusTrailers(status: GrpcStatus): readonly WireField[] {
  if (status.code === 0) return OK_TRAILERS;
  const code = STATUS_FIELDS[status.code] ?? wireField("grpc-status", String(status.code));
  return [code, wireField("grpc-message", shortMessage(status.message))];
}

/** Percent-encoded, and cut between two characters of the encoding. */
function shortMessage(message: string): string {
  const text = encodeGrpcMessage(message);
  return text.length <= MESSAGE_BYTES_MAX ? text : text.slice(0, MESSAGE_BYTES_MAX).replace(/%[0-9A-F]?$/, "");
}
