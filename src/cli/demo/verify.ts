/** Reading everything back from every single node, and comparing it with what was acknowledged. */
import { kv } from "../etcd/api.ts";
import { GrpcClient } from "../grpc/client.ts";
import { pause } from "../pause.ts";

const PAGE = 1_000;
const CATCH_UP_MS = 10_000;
const CALL_MS = 5_000;
/** Lost or changed keys that a report names. */
const EXAMPLES_MAX = 10;

export interface NodeVerdict {
  readonly endpoint: string;
  /** Acknowledged writes found with their value. */
  readonly found: number;
  readonly missing: number;
  readonly changed: number;
  readonly examples: readonly string[];
}

/**
 * Compares one node's own state with the acknowledged writes. The node answers from its own disk and memory
 * (`serializable`), after it was seen to have reached `revision`: a copy that another node would answer for proves nothing.
 */
export async function verifyNode(
  endpoint: string,
  acknowledged: ReadonlyMap<string, string>,
  revision: number,
  signal: AbortSignal,
): Promise<NodeVerdict> {
  const client = new GrpcClient([endpoint], { timeoutMs: CALL_MS });
  try {
    await untilRevision(client, revision, signal);
    const state = await readAll(client, signal);
    const examples: string[] = [];
    let missing = 0;
    let changed = 0;
    for (const [key, value] of acknowledged) {
      const here = state.get(key);
      if (here === value) continue;
      if (here === undefined) missing++;
      else changed++;
      if (examples.length < EXAMPLES_MAX) examples.push(`${key}: ${here === undefined ? "missing" : `holds ${here}`}`);
    }
    return { endpoint, found: acknowledged.size - missing - changed, missing, changed, examples };
  } finally {
    client.close();
  }
}

/** The revision of the newest acknowledged write, as a linearizable read sees it. */
export async function currentRevision(endpoints: readonly string[], signal: AbortSignal): Promise<number> {
  const client = new GrpcClient(endpoints, { timeoutMs: CALL_MS });
  try {
    const answer = await client.unary(kv.range, { key: Uint8Array.of(0), countOnly: true }, { signal });
    return answer.header?.revision ?? 0;
  } finally {
    client.close();
  }
}

async function untilRevision(client: GrpcClient, revision: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + CATCH_UP_MS;
  for (;;) {
    const answer = await client.unary(
      kv.range,
      { key: Uint8Array.of(0), countOnly: true, serializable: true },
      { signal },
    );
    if ((answer.header?.revision ?? 0) >= revision || performance.now() > deadline) return; // too late shows as missing keys
    await pause(20, signal);
  }
}

async function readAll(client: GrpcClient, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const state = new Map<string, string>();
  const text = new TextDecoder();
  let key: Uint8Array = Uint8Array.of(0);
  for (;;) {
    const answer = await client.unary(
      kv.range,
      { key, rangeEnd: Uint8Array.of(0), limit: PAGE, serializable: true },
      { signal },
    );
    for (const found of answer.kvs) state.set(text.decode(found.key), text.decode(found.value));
    const last = answer.kvs.at(-1);
    if (last === undefined || !answer.more) return state;
    key = Uint8Array.of(...last.key, 0); // the first key behind it
  }
}
