/** Reads a request's body with every bound before the buffer: the declared length first, then what really comes. */
import type { IncomingMessage } from "node:http";
import type { ByteBudget } from "../grpc/byte-budget.ts";

export type Body =
  | { readonly type: "whole"; readonly bytes: Uint8Array }
  | { readonly type: "too-large" }
  | { readonly type: "over-budget" }
  /** The caller went away. */
  | { readonly type: "aborted" };

/** Calls back once. The bytes are charged to `budget` only until then. */
export function readBody(
  request: IncomingMessage,
  options: { readonly bytesMax: number; readonly budget: ByteBudget },
  done: (body: Body) => void,
): void {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > options.bytesMax) {
    done({ type: "too-large" });
    return;
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  let settled = false;
  const settle = (body: Body): void => {
    if (settled) return;
    settled = true;
    options.budget.give(bytes);
    request.off("data", onData);
    done(body);
  };
  const onData = (chunk: Buffer): void => {
    if (bytes + chunk.length > options.bytesMax) {
      settle({ type: "too-large" });
      return;
    }
    if (!options.budget.take(chunk.length)) {
      settle({ type: "over-budget" });
      return;
    }
    bytes += chunk.length;
    chunks.push(chunk);
  };
  request.on("data", onData);
  request.once("end", () => settle({ type: "whole", bytes: Buffer.concat(chunks) }));
  request.once("error", () => settle({ type: "aborted" }));
  request.once("close", () => settle({ type: "aborted" }));
}
