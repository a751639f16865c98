/**
 * How a call ends on this side: the error that carries a status, and how statuses are read from the wire. The codes are those
 * of the door. Source: grpc.io, "HTTP to gRPC Status Code Mapping".
 */
import { grpcCode } from "../../doors/grpc/status.ts";

const names = Object.entries(grpcCode);

/** `DEADLINE_EXCEEDED` for 4, as the protocol's documents write it. */
export function grpcStatusName(code: number): string {
  const name = names.find(([, value]) => value === code)?.[0] ?? `status${code}`;
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/**
 * How far a failed call got, which decides whether it may be sent again:
 * - `not-sent`: no byte of it left, or the connection never stood;
 * - `answered`: the server itself refused it with a status;
 * - `lost`: it was sent and no status came back. A write may or may not have happened.
 */
export type CallProgress = "not-sent" | "answered" | "lost";

export class GrpcError extends Error {
  readonly code: number;
  readonly progress: CallProgress;
  readonly endpoint: string;

  constructor(
    code: number,
    message: string,
    options: { readonly progress: CallProgress; readonly endpoint: string; readonly cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GrpcError";
    this.code = code;
    this.progress = options.progress;
    this.endpoint = options.endpoint;
  }
}

/** The status that an HTTP answer without a `grpc-status` stands for. */
export function statusOfHttp(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return grpcCode.internal;
    case 401:
      return grpcCode.unauthenticated;
    case 403:
      return grpcCode.permissionDenied;
    case 404:
      return grpcCode.unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return grpcCode.unavailable;
    default:
      return grpcCode.unknown;
  }
}

/** Undoes the percent-encoding of `grpc-message`; a malformed escape stays as it is, as the specification asks. */
export function decodeGrpcMessage(text: string): string {
  const bytes: number[] = [];
  const source = new TextEncoder().encode(text);
  for (let i = 0; i < source.length; i++) {
    const byte = source[i] ?? 0;
    const hex = byte === 0x25 ? String.fromCharCode(source[i + 1] ?? 0, source[i + 2] ?? 0) : "";
    if (/^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      i += 2;
    } else {
      bytes.push(byte);
    }
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
