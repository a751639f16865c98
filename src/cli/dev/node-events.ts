/** What `althing node --json` says on stdout, one JSON object per line, to whoever supervises it. */
import * as v from "valibot";

export type NodeEvent =
  /** The node listens and serves. Addresses are `host:port` with the ports filled in. */
  | {
      readonly event: "ready";
      readonly id: number;
      readonly pid: number;
      readonly address: string;
      readonly peerAddress: string;
    }
  /** The node's view changed; `leader` 0: none known. */
  | { readonly event: "leader-changed"; readonly leader: number; readonly term: number }
  | { readonly event: "draining" }
  /** The node is about to end with an error. */
  | { readonly event: "failed"; readonly message: string; readonly code?: string; readonly next?: string };

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const schema: v.GenericSchema<unknown, NodeEvent> = v.variant("event", [
  v.object({ event: v.literal("ready"), id: count, pid: count, address: v.string(), peerAddress: v.string() }),
  v.object({ event: v.literal("leader-changed"), leader: count, term: count }),
  v.object({ event: v.literal("draining") }),
  v.object({
    event: v.literal("failed"),
    message: v.string(),
    code: v.exactOptional(v.string()),
    next: v.exactOptional(v.string()),
  }),
]);

/** Undefined for anything that is no event: a stray line of output must not end the supervisor. */
export function parseNodeEvent(line: string): NodeEvent | undefined {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = v.safeParse(schema, content);
  return parsed.success ? parsed.output : undefined;
}
