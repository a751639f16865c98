/**
 * Makes methods of bytes out of methods of messages: decode, call, encode, and every failure in its status.
 */
import { BytesError } from "../../base/bytes.ts";
import type { Message } from "../../base/protobuf.ts";
import { FRAME_HEADROOM, type Method, type StreamCall, type UnaryCall } from "../grpc/method.ts";
import { type GrpcStatus, grpcStatus, OK } from "../grpc/status.ts";
import { statusOf } from "./etcd-status.ts";
import type { CallOptions } from "./service.ts";

/** A request and a response, each a message. */
export function unary<Request, RequestIn, Response, ResponseIn>(
  request: Message<Request, RequestIn>,
  response: Message<Response, ResponseIn>,
  call: (request: Request, options: CallOptions) => Promise<ResponseIn>,
): Method {
  return {
    type: "unary",
    handle: (bytes, context) => {
      const decoded = decode(request, bytes);
      if (decoded.type === "refused") {
        context.fail(decoded.status);
        return;
      }
      // The promise settles before `run` calls back, so that a failed assertion there is an unhandled rejection: it
      // stops the node, as it must.
      void run(call(decoded.value, callOptions(context)), response, context);
    },
  };
}

async function run<Out, In>(result: Promise<In>, response: Message<Out, In>, context: UnaryCall): Promise<void> {
  try {
    context.replyFramed(response.encode(await result, FRAME_HEADROOM));
  } catch (error) {
    context.fail(statusOf(error));
  }
}

/** The hot path: bytes in, bytes out, no promise. `call` leaves `headroom` bytes free before its response. */
export function unaryBytes(
  call: (request: Uint8Array, done: (error: unknown, framed: Uint8Array | undefined) => void, headroom: number) => void,
): Method {
  return {
    type: "unary",
    handle: (bytes, context) => {
      try {
        const done = (error: unknown, framed: Uint8Array | undefined): void => {
          if (framed !== undefined) context.replyFramed(framed);
          else context.fail(statusOf(error));
        };
        call(bytes, done, FRAME_HEADROOM);
      } catch (error) {
        context.fail(statusOf(error));
      }
    },
  };
}

/** A request and a stream of responses. */
export function serverStream<Request, RequestIn, Response, ResponseIn>(
  request: Message<Request, RequestIn>,
  response: Message<Response, ResponseIn>,
  call: (request: Request, options: CallOptions) => AsyncIterable<ResponseIn>,
): Method {
  return {
    type: "server-stream",
    open: (bytes, context) => {
      const decoded = decode(request, bytes);
      if (decoded.type === "refused") {
        context.end(decoded.status);
        return { drain: () => undefined, cancel: () => undefined };
      }
      const abort = new AbortController();
      let wake: (() => void) | undefined;
      const drained = (): Promise<void> => new Promise((resolve) => (wake = resolve));
      void pour(call(decoded.value, { signal: abort.signal }), response, context, abort.signal, drained);
      return {
        drain: () => wake?.(),
        cancel: () => {
          abort.abort();
          wake?.();
        },
      };
    },
  };
}

async function pour<Out, In>(
  source: AsyncIterable<In>,
  response: Message<Out, In>,
  context: StreamCall,
  signal: AbortSignal,
  drained: () => Promise<void>,
): Promise<void> {
  try {
    for await (const one of source) {
      if (signal.aborted) return;
      if (!context.sendFramed(response.encode(one, FRAME_HEADROOM))) await drained();
      if (signal.aborted) return;
    }
    context.end(OK);
  } catch (error) {
    if (!signal.aborted) context.end(statusOf(error));
  }
}

/** A stream of requests, each answered before the next is read: LeaseKeepAlive. */
export function sequential<Request, RequestIn, Response, ResponseIn>(
  request: Message<Request, RequestIn>,
  response: Message<Response, ResponseIn>,
  call: (request: Request, options: CallOptions) => Promise<ResponseIn>,
): Method {
  return {
    type: "bidi",
    open: (context) => {
      const abort = new AbortController();
      let busy = false;
      let halfClosed = false;
      let full = false;
      const proceed = (): void => {
        if (busy || full) return;
        if (halfClosed) context.end(OK);
        else context.resume();
      };
      const answer = async (value: Request): Promise<void> => {
        try {
          const result = await call(value, { signal: abort.signal });
          if (abort.signal.aborted) return;
          full = !context.sendFramed(response.encode(result, FRAME_HEADROOM));
          busy = false;
          proceed();
        } catch (error) {
          context.end(statusOf(error));
        }
      };
      return {
        message: (bytes) => {
          const decoded = decode(request, bytes);
          if (decoded.type === "refused") {
            context.end(onStream(decoded.status));
            return;
          }
          busy = true;
          context.pause();
          void answer(decoded.value);
        },
        halfClose: () => {
          halfClosed = true;
          proceed();
        },
        drain: () => {
          full = false;
          proceed();
        },
        cancel: () => abort.abort(),
      };
    },
  };
}

/** The options of a call: its deadline, and a signal that is made only if somebody asks for it. */
export function callOptions(context: UnaryCall): CallOptions {
  const options: { timeoutMs?: number } = {};
  if (context.timeoutMs !== undefined) options.timeoutMs = context.timeoutMs;
  let abort: AbortController | undefined;
  return Object.defineProperty(options, "signal", {
    enumerable: true,
    get: () => {
      if (abort === undefined) {
        const made = new AbortController();
        context.onCancel(() => made.abort());
        abort = made;
      }
      return abort.signal;
    },
  });
}

export type Decoded<T> =
  | { readonly type: "value"; readonly value: T }
  | { readonly type: "refused"; readonly status: GrpcStatus };

/** A request's message, or the status that grpc-go gives malformed bytes of a unary call. */
export function decode<Out, In>(message: Message<Out, In>, bytes: Uint8Array): Decoded<Out> {
  try {
    return { type: "value", value: message.decode(bytes) };
  } catch (error) {
    if (error instanceof BytesError) return { type: "refused", status: statusOf(error) };
    throw error;
  }
}

/** grpc-go words the same fault differently on a stream. */
export function onStream(status: GrpcStatus): GrpcStatus {
  const text = status.message.replace(
    "grpc: error unmarshalling request: ",
    "grpc: failed to unmarshal the received message ",
  );
  return grpcStatus(status.code, text);
}

/** A method that this server refuses, whatever it is asked. */
export function refusing(code: Parameters<typeof grpcStatus>[0], text: string): Method {
  return { type: "unary", handle: (_, context) => context.fail(grpcStatus(code, text)) };
}
