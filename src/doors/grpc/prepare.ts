/**
 * From a request's head to what is to be done with it. Depends on the head and on the services alone, so that a connection
 * may keep the result for the next equal head.
 * Source  gRPC over HTTP/2, "Requests"; the words of grpc-go.
 */
import { type WireField, wireField } from "../http2/hpack-encoder.ts";
import type { RequestHead } from "../http2/request-head.ts";
import { parseEncoding } from "./message.ts";
import type { Method } from "./method.ts";
import { responseHeaders, statusTrailers } from "./responder.ts";
import type { Router } from "./route.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";
import { parseGrpcTimeout } from "./timeout.ts";
import type { RpcRequest } from "./unary-rpc.ts";

export type PreparedCall =
  | { readonly type: "call"; readonly method: Method; readonly request: RpcRequest }
  /** Answered by its headers, and a text for people if it is no gRPC. */
  | { readonly type: "refused"; readonly headers: readonly WireField[]; readonly text: string | undefined };

export function prepareCall(router: Router, head: RequestHead): PreparedCall {
  const contentType = grpcContentType(head.fields.get("content-type"));
  if (contentType === undefined) return WRONG_TYPE;
  if (head.method !== "POST") return WRONG_METHOD;
  const headers = responseHeaders(contentType);
  const refuse = (status: GrpcStatus, more: readonly WireField[] = []): PreparedCall => ({
    type: "refused",
    headers: [...headers, ...statusTrailers(status), ...more],
    text: undefined,
  });

  const route = router.find(head.path);
  if (route.type === "missing") return refuse(route.status);
  const encodingText = head.fields.get("grpc-encoding");
  const encoding = parseEncoding(encodingText);
  if (encoding === undefined) {
    const text = `grpc: Decompressor is not installed for grpc-encoding "${encodingText ?? ""}"`;
    return refuse(grpcStatus(grpcCode.unimplemented, text), [wireField("grpc-accept-encoding", "gzip")]);
  }
  const timeoutText = head.fields.get("grpc-timeout");
  const timeoutMs = timeoutText === undefined ? undefined : parseGrpcTimeout(timeoutText);
  if (timeoutText !== undefined && timeoutMs === undefined) {
    return refuse(grpcStatus(grpcCode.internal, `malformed grpc-timeout: "${timeoutText}"`));
  }
  if (timeoutMs === 0) return refuse(grpcStatus(grpcCode.deadlineExceeded, "context deadline exceeded"));
  return { type: "call", method: route.method, request: { path: head.path, headers, encoding, timeoutMs } };
}

/** A content type comes back to its caller, in one frame with all else that the answer's head holds. */
const CONTENT_TYPE_BYTES_MAX = 256;

/** The content type to answer with, or undefined if it is not gRPC's. */
function grpcContentType(field: string | undefined): string | undefined {
  if (field === "application/grpc") return field;
  if (field === undefined || field.length > CONTENT_TYPE_BYTES_MAX) return undefined;
  if (field.startsWith("application/grpc+")) return field;
  return field.startsWith("application/grpc;") ? "application/grpc" : undefined;
}

/** gRPC says 415 for a content type that is not its own; a method other than POST gets 405. */
const PLAIN_TEXT = wireField("content-type", "text/plain; charset=utf-8");
const WRONG_TYPE: PreparedCall = {
  type: "refused",
  headers: [wireField(":status", "415"), PLAIN_TEXT],
  text: "Cannot serve this content type: HTTP/2 on this port carries gRPC (application/grpc); JSON is on HTTP/1.1\n",
};
const WRONG_METHOD: PreparedCall = {
  type: "refused",
  headers: [wireField(":status", "405"), PLAIN_TEXT, wireField("allow", "POST")],
  text: "Cannot serve this method: gRPC calls are POST\n",
};
