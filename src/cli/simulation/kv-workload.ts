/**
 * Clients of a simulated cluster: each puts, reads, swaps and deletes a few keys through any node, and records what it was
 * told. The history is checked for linearizability, key by key.
 *
 * K1. Only an answer is an answer. An error of a write counts as unknown, whatever its words promise: that only makes
 *     the check weaker, never wrong. A read that failed had no effect and is left out.
 */
import {
  CompareResult,
  CompareTarget,
  type DeleteRangeResponse,
  type PutResponse,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from "../../coordination/messages.ts";
import { DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest as TxnCodec } from "../../coordination/messages.ts";
import type { History } from "../../sim/checkers/history.ts";
import type { KvInput, KvOutput } from "../../sim/checkers/models.ts";
import type { SimClient } from "../../sim/sim-client.ts";
import type { SimNode } from "../../sim/sim-cluster.ts";

/** The part of a node's coordination service that the clients use. */
export interface KvService {
  range(request: RangeRequest): Promise<RangeResponse>;
  put(request: PutRequest): Promise<PutResponse>;
  deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResponse>;
  txn(request: TxnRequest): Promise<TxnResponse>;
}

export interface KvNode extends SimNode {
  readonly kv: KvService;
}

const KEYS = ["a", "b", "c"];
const PAUSE_MS_MAX = 80;
/** A client asks another node after a failure; without a pause it would ask the dead ones all the time. */
const AFTER_FAILURE_MS = 100;

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** One client's whole life. Every value it writes is written once, so that a read tells whose write it saw. */
export async function kvClient<TNode extends KvNode>(
  client: SimClient<TNode>,
  history: History<KvInput, KvOutput>,
  options: { readonly staleReads: boolean },
): Promise<void> {
  /** What this client last saw of each key: what it swaps against. */
  const seen = new Map<string, number>();
  for (let sequence = 0; !client.stopping; sequence++) {
    await client.sleep(1 + client.random.below(PAUSE_MS_MAX));
    const key = client.random.pick(KEYS);
    const input = drawOperation(client, key, `${client.number}.${sequence}`, seen.get(key) ?? 0);
    const id = history.begin(client.number, input);
    const result = await client.call(client.anyNode(), (node) => perform(node.kv, input, options.staleReads), {
      what: `${input.type} ${input.key}`,
    });
    if (result.type === "answer") {
      history.end(id, result.value);
      remember(seen, key, result.value);
      client.progress();
      continue;
    }
    const isHarmless = input.type === "get" || result.type === "refused";
    if (isHarmless) history.refused(id);
    else history.unknown(id);
    await client.sleep(AFTER_FAILURE_MS);
  }
}

function drawOperation(
  client: { readonly random: { unit(): number } },
  key: string,
  value: string,
  expected: number,
): KvInput {
  const draw = client.random.unit();
  if (draw < 0.45) return { type: "get", key };
  if (draw < 0.75) return { type: "put", key, value };
  if (draw < 0.92) return { type: "cas", key, expected, value };
  return { type: "delete", key };
}

async function perform(kv: KvService, input: KvInput, serializable: boolean): Promise<KvOutput> {
  const key = encode(input.key);
  switch (input.type) {
    case "get": {
      const answer = await kv.range(RangeRequest.make({ key, serializable }));
      const [found] = answer.kvs;
      return {
        type: "get",
        value: found === undefined ? undefined : decode(found.value),
        modRevision: found?.modRevision ?? 0,
      };
    }
    case "put": {
      const answer = await kv.put(PutRequest.make({ key, value: encode(input.value) }));
      return { type: "put", revision: answer.header?.revision ?? 0 };
    }
    case "delete": {
      const answer = await kv.deleteRange(DeleteRangeRequest.make({ key }));
      return { type: "delete", deleted: answer.deleted > 0, revision: answer.header?.revision ?? 0 };
    }
    case "cas": {
      const answer = await kv.txn(
        TxnCodec.make({
          compare: [
            {
              key,
              target: CompareTarget.MOD,
              result: CompareResult.EQUAL,
              targetUnion: { type: "modRevision", value: input.expected },
            },
          ],
          success: [{ request: { type: "requestPut", value: { key, value: encode(input.value) } } }],
          failure: [{ request: { type: "requestRange", value: { key } } }],
        }),
      );
      return { type: "cas", swapped: answer.succeeded, revision: answer.header?.revision ?? 0 };
    }
  }
}

function remember(seen: Map<string, number>, key: string, output: KvOutput): void {
  switch (output.type) {
    case "get":
      seen.set(key, output.modRevision);
      return;
    case "put":
      seen.set(key, output.revision);
      return;
    case "cas":
      if (output.swapped) seen.set(key, output.revision);
      return;
    case "delete":
      if (output.deleted) seen.set(key, 0);
      return;
  }
}
