/**
 * What a service gives to a door: per method, how to handle one call as bytes. The same tables serve gRPC and the JSON
 * gateway; nothing here knows of HTTP. Calls are callbacks, not promises: the hot path makes none.
 *
 * M1. A unary call is answered exactly once, by `reply` or `fail`; later answers are ignored (the caller may be gone).
 * M2. After `end`, or after the handler's `cancel`, nothing is sent on a stream.
 */
import type { GrpcStatus } from "./status.ts";

export interface CallContext {
  /** Milliseconds the caller gave this call, counted from its arrival. */
  readonly timeoutMs: number | undefined;
  /** Calls back once if the caller gives the call up or its deadline passes before the answer. */
  onCancel(callback: () => void): void;
}

/** Bytes that `replyFramed` and `sendFramed` want free in front of the message, for the transport's own prefix. */
export const FRAME_HEADROOM = 5;

export interface UnaryCall extends CallContext {
  reply(message: Uint8Array): void;
  /** The same without a copy: the message stands behind `FRAME_HEADROOM` bytes that the transport overwrites. */
  replyFramed(framed: Uint8Array): void;
  fail(status: GrpcStatus): void;
}

export interface StreamCall extends CallContext {
  /** False: the caller reads slowly, send no more before `drain`. The message is taken all the same. */
  send(message: Uint8Array): boolean;
  /** The same without a copy, as `UnaryCall.replyFramed`. */
  sendFramed(framed: Uint8Array): boolean;
  end(status: GrpcStatus): void;
  /** Stops and restarts `message`: the caller's own window then fills and it must wait. */
  pause(): void;
  resume(): void;
}

export interface StreamHandler {
  /** One message of the caller: a view of the transport's memory. Copy what is kept for long. */
  message(bytes: Uint8Array): void;
  /** The caller will send no more; it may still listen. */
  halfClose(): void;
  /** The caller takes messages again. */
  drain(): void;
  /** The caller is gone, or its deadline passed. */
  cancel(): void;
}

export type Method =
  | { readonly type: "unary"; readonly handle: (request: Uint8Array, call: UnaryCall) => void }
  /** One request, a stream of answers. */
  | {
      readonly type: "server-stream";
      readonly open: (request: Uint8Array, call: StreamCall) => Pick<StreamHandler, "drain" | "cancel">;
    }
  | { readonly type: "bidi"; readonly open: (call: StreamCall) => StreamHandler };

/** A service's methods by name, as in `Put`. */
export type Service = Readonly<Record<string, Method>>;

/** Services by full name, as in `etcdserverpb.KV`. */
export type Services = Readonly<Record<string, Service>>;
