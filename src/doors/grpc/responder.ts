/**
 * The sending half of one call: HEADERS, DATA, and trailers on an HTTP/2 stream, with as few calls into `node:http2` as
 * there can be. The header lists are shared constants in raw form: node copies and checks objects, not lists.
 * Source  gRPC over HTTP/2, "Responses" (Trailers-Only, Trailers).
 */
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { encodeGrpcMessage, type GrpcStatus } from "./status.ts";

const WITH_TRAILERS = { waitForTrailers: true, sendDate: false };
const LAST_FRAME = { endStream: true, sendDate: false };
const OK_TRAILERS: OutgoingHttpHeaders = { "grpc-status": "0" };
const PLAIN_HEADERS: readonly string[] = [":status", "200", "content-type", "application/grpc"];

/** The headers before the first message. `contentType` is the caller's own, so that a subtype comes back. */
export function responseHeaders(contentType: string): readonly string[] {
  return contentType === "application/grpc" ? PLAIN_HEADERS : [":status", "200", "content-type", contentType];
}

/** Sends the headers; trailers are asked for through the `wantTrailers` event. */
export function startResponse(stream: ServerHttp2Stream, headers: readonly string[]): void {
  stream.respond(headers, WITH_TRAILERS);
}

/** Answers `wantTrailers` of a call that ended well. */
export function sendOkTrailers(stream: ServerHttp2Stream): void {
  stream.sendTrailers(OK_TRAILERS);
}

export function sendStatusTrailers(stream: ServerHttp2Stream, status: GrpcStatus): void {
  if (stream.destroyed || stream.closed) return;
  if (status.code === 0) stream.sendTrailers(OK_TRAILERS);
  else
    stream.sendTrailers({
      "grpc-status": String(status.code),
      "grpc-message": encodeGrpcMessage(status.message),
    });
}

/** Ends a call that sent nothing yet: one HEADERS frame carries all of it. */
export function sendTrailersOnly(
  stream: ServerHttp2Stream,
  contentType: string,
  status: GrpcStatus,
  more: readonly string[] = [],
): void {
  const code = String(status.code);
  const message = encodeGrpcMessage(status.message);
  stream.respond(
    [":status", "200", "content-type", contentType, "grpc-status", code, "grpc-message", message, ...more],
    LAST_FRAME,
  );
}

/** Tells a caller that still sends, after the whole answer, that nobody reads: RST_STREAM without an error. */
export function stopReading(stream: ServerHttp2Stream): void {
  if (!stream.destroyed && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
}
