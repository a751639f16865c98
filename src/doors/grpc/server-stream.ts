/** A server-streaming method as a bidirectional one: the first message opens it, later ones are ignored. */
import type { Method, StreamCall, StreamHandler } from "./method.ts";
import { grpcCode, grpcStatus } from "./status.ts";

export function openServerStream(
  open: Extract<Method, { type: "server-stream" }>["open"],
): (call: StreamCall) => StreamHandler {
  return (call) => {
    let opened: Pick<StreamHandler, "drain" | "cancel"> | undefined;
    let asked = false;
    return {
      message: (bytes) => {
        if (asked) return;
        asked = true;
        opened = open(bytes, call);
      },
      halfClose: () => {
        if (!asked) call.end(grpcStatus(grpcCode.unknown, "EOF"));
      },
      drain: () => opened?.drain(),
      cancel: () => opened?.cancel(),
    };
  };
}
