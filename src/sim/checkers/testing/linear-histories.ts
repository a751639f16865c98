/**
 * Histories as a correct object gives them to clients that overlap: calls begin before the effect and end after it. Some
 * answers get lost; some are lies, if asked for. The same generator gives the same history.
 */
import type { Prng } from "../../../base/prng.ts";
import type { Operation } from "../history.ts";
import type { KvInput, KvOutput, RegisterInput, RegisterOutput } from "../models.ts";

const INFINITY = Number.POSITIVE_INFINITY;

/** A history that a real store produced, one key, overlapping calls; some ends unknown; some answers spoiled. */
export function kvHistory(
  prng: Prng,
  count: number,
  unknownChance: number,
  lieChance: number,
  clients = 3,
): Operation<KvInput, KvOutput>[] {
  let value: string | undefined;
  let modRevision = 0;
  let revision = 1;
  const busyUntil = new Array<number>(clients).fill(0);
  const operations: Operation<KvInput, KvOutput>[] = [];
  for (let i = 0; i < count; i++) {
    const at = (i + 1) * 10; // where it takes effect; calls and ends lie around it
    const client = prng.below(clients);
    const call = Math.max((busyUntil[client] ?? 0) + 1, at - prng.below(25)) - prng.unit() * 0.5;
    if (call >= at) continue;
    const unknown = prng.chance(unknownChance);
    const happens = !unknown || prng.chance(0.5);
    const end = unknown ? INFINITY : at + 1 + prng.below(25);
    busyUntil[client] = unknown ? at : end;
    const kind = prng.below(4);
    let input: KvInput;
    let output: KvOutput;
    if (kind === 0) {
      input = { type: "get", key: "k" };
      output = { type: "get", value, modRevision };
      if (prng.chance(lieChance)) output = { type: "get", value, modRevision: modRevision + 1 };
    } else if (kind === 1) {
      input = { type: "put", key: "k", value: `v${i}` };
      if (happens) {
        revision += 1 + prng.below(2);
        value = `v${i}`;
        modRevision = revision;
      }
      output = { type: "put", revision: prng.chance(lieChance) ? revision - 3 : revision };
    } else if (kind === 2) {
      const expected = prng.chance(0.7) ? modRevision : prng.below(revision + 1);
      input = { type: "cas", key: "k", expected, value: `c${i}` };
      const swapped = expected === modRevision;
      if (happens && swapped) {
        revision++;
        value = `c${i}`;
        modRevision = revision;
      }
      output = { type: "cas", swapped: prng.chance(lieChance) ? !swapped : swapped, revision };
    } else {
      input = { type: "delete", key: "k" };
      const deleted = value !== undefined;
      if (happens && deleted) {
        revision++;
        value = undefined;
        modRevision = 0;
      }
      output = { type: "delete", deleted: prng.chance(lieChance) ? !deleted : deleted, revision };
    }
    operations.push({ client, call, end, input, output: unknown ? undefined : output });
  }
  return operations;
}

/**
 * Clients that always have a call open, on one register; the effect lies anywhere in the call. Values are written once, or
 * with `values` only so many different ones, again and again.
 */
export function busyHistory(
  prng: Prng,
  count: number,
  clients: number,
  unknownChance: number,
  values = 1e9,
): Operation<RegisterInput, RegisterOutput>[] {
  type Call = { readonly call: number; readonly input: RegisterInput; output: RegisterOutput | undefined };
  let moment = 0;
  let value: string | undefined;
  const begin = (): Call => {
    const kind = prng.below(10);
    const fresh = `v${moment % values}`;
    const from = prng.chance(0.7) ? value : "v0";
    const inputs: readonly RegisterInput[] = [
      { type: "read", key: "x" },
      { type: "write", key: "x", value: fresh },
      { type: "cas", key: "x", from, to: fresh },
    ];
    const input = inputs[kind < 5 ? 0 : kind < 8 ? 1 : 2] ?? { type: "read", key: "x" };
    return { call: moment++, input, output: undefined };
  };
  const happen = (call: Call): void => {
    const { input } = call;
    if (input.type === "read") call.output = { type: "read", value };
    else if (input.type === "write") {
      value = input.value;
      call.output = { type: "written" };
    } else {
      const swapped = value === input.from;
      if (swapped) value = input.to;
      call.output = { type: "cas", swapped };
    }
  };
  const open = Array.from({ length: clients }, begin);
  const operations: Operation<RegisterInput, RegisterOutput>[] = [];
  const unknown = (client: number, { call, input }: Call): void => {
    operations.push({ client, call, input, end: INFINITY, output: undefined });
  };
  while (operations.length < count) {
    const client = prng.below(clients);
    const call = open[client] ?? begin();
    if (call.output === undefined && prng.chance(unknownChance)) {
      if (prng.chance(0.5)) happen(call);
      unknown(client, call);
      open[client] = begin();
    } else if (call.output === undefined) {
      happen(call);
    } else {
      operations.push({ client, call: call.call, input: call.input, end: moment++, output: call.output });
      open[client] = begin();
    }
  }
  for (const [client, call] of open.entries()) unknown(client, call);
  return operations.sort((a, b) => a.call - b.call);
}
