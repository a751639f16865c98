/**
 * The last steps of reading one gRPC message: what to do with a whole one, and which status each fault of framing has.
 * The texts are those of grpc-go, which etcd's clients and operators know.
 */
import { gunzipSync } from "node:zlib";
import { assert, unreachable } from "../../base/assert.ts";
import type { Deframed } from "./deframer.ts";
import { FRAME_HEADROOM } from "./method.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";

export type Encoding = "identity" | "gzip";

/** One message with its gRPC prefix, uncompressed. */
export function frameMessage(message: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(FRAME_HEADROOM + message.length);
  framed.set(message, FRAME_HEADROOM);
  return frameInPlace(framed);
}

/** Writes the prefix into the headroom before a message. */
export function frameInPlace(framed: Uint8Array): Uint8Array {
  const length = framed.length - FRAME_HEADROOM;
  assert(length >= 0, "a framed message has headroom", { length });
  framed[0] = 0;
  framed[1] = length >>> 24;
  framed[2] = length >>> 16;
  framed[3] = length >>> 8;
  framed[4] = length;
  return framed;
}

/** The plain bytes of a whole message, or the status that refuses it. `messageBytesMax` bounds the inflated size too. */
export function openMessage(
  frame: Extract<Deframed, { type: "message" }>,
  encoding: Encoding,
  messageBytesMax: number,
): { readonly type: "bytes"; readonly bytes: Uint8Array } | { readonly type: "refused"; readonly status: GrpcStatus } {
  if (!frame.compressed) return { type: "bytes", bytes: frame.bytes };
  if (encoding === "identity") {
    const text = "grpc: compressed flag set with identity or empty encoding";
    return { type: "refused", status: grpcStatus(grpcCode.internal, text) };
  }
  try {
    return { type: "bytes", bytes: gunzipSync(frame.bytes, { maxOutputLength: messageBytesMax }) };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ERR_BUFFER_TOO_LARGE") {
      const text = `grpc: received message after decompression larger than max (over ${messageBytesMax})`;
      return { type: "refused", status: grpcStatus(grpcCode.resourceExhausted, text) };
    }
    const why = error instanceof Error ? error.message : String(error);
    const text = `grpc: failed to decompress the received message: ${why}`;
    return { type: "refused", status: grpcStatus(grpcCode.internal, text) };
  }
}

/** The status of a fault of framing. */
export function faultStatus(
  fault: Exclude<Deframed, { type: "message" } | { type: "starved" }>,
  messageBytesMax: number,
): GrpcStatus {
  switch (fault.type) {
    case "too-large":
      return grpcStatus(
        grpcCode.resourceExhausted,
        `grpc: received message larger than max (${fault.declaredBytes} vs. ${messageBytesMax})`,
      );
    case "bad-flag":
      return grpcStatus(grpcCode.internal, `grpc: received unexpected payload format ${fault.flag}`);
    case "over-budget":
      return grpcStatus(grpcCode.resourceExhausted, "etcdserver: too many requests");
    default:
      return unreachable(fault);
  }
}

/** The encoding a call declares, or undefined if we cannot read it. */
export function parseEncoding(header: string | readonly string[] | undefined): Encoding | undefined {
  if (header === undefined || header === "" || header === "identity") return "identity";
  return header === "gzip" ? "gzip" : undefined;
}
