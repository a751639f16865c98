/**
 * Which of many circumstances does a failure need? Leaves out ever smaller parts of them and keeps what still fails.
 * Source: Zeller & Hildebrandt 2002, "Simplifying and isolating failure-inducing input", algorithm ddmin (section 3).
 */
import { assert } from "../base/assert.ts";

export interface Minimum<T> {
  readonly items: readonly T[];
  /** True: without any one of the items it does not fail any more. False: the budget ended before that was known. */
  readonly isMinimal: boolean;
}

/**
 * The smallest subset found for which `fails` holds, in the order of `items`; it is known to hold for all of them. Stops
 * when `mayGoOn` says no.
 */
export async function minimise<T>(
  items: readonly T[],
  fails: (subset: readonly T[]) => Promise<boolean>,
  mayGoOn: () => boolean,
): Promise<Minimum<T>> {
  if (items.length === 0) return { items, isMinimal: true };
  if (!mayGoOn()) return { items, isMinimal: false };
  if (await fails([])) return { items: [], isMinimal: true };
  let current = items;
  let parts = 2;
  while (current.length > 1) {
    const next = await reduce(current, parts, fails, mayGoOn);
    if (next === "over") return { items: current, isMinimal: false };
    if (next !== undefined) {
      parts = next.length < current.length / 2 ? 2 : Math.max(2, parts - 1);
      current = next;
    } else {
      if (parts >= current.length) return { items: current, isMinimal: true };
      parts = Math.min(current.length, parts * 2);
    }
    parts = Math.min(parts, Math.max(2, current.length));
  }
  return { items: current, isMinimal: true };
}

/** The first part, or complement of one, that fails. One part of two is the other's complement, and tried once. */
async function reduce<T>(
  items: readonly T[],
  parts: number,
  fails: (subset: readonly T[]) => Promise<boolean>,
  mayGoOn: () => boolean,
): Promise<readonly T[] | "over" | undefined> {
  assert(parts >= 2 && parts <= items.length, "every part has an item", { parts, items: items.length });
  const cut = (i: number): number => Math.floor((i * items.length) / parts);
  const candidates: (readonly T[])[] = [];
  if (parts < items.length) for (let i = 0; i < parts; i++) candidates.push(items.slice(cut(i), cut(i + 1)));
  if (parts > 2 || parts === items.length) {
    for (let i = 0; i < parts; i++) candidates.push([...items.slice(0, cut(i)), ...items.slice(cut(i + 1))]);
  }
  for (const candidate of candidates) {
    if (!mayGoOn()) return "over";
    if (await fails(candidate)) return candidate;
  }
  return undefined;
}
