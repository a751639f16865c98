/** Sequential models of collections for the linearizability checker: a set and a first-in-first-out queue. */
import type { Model } from "./linearizability.ts";

/** A set per key. */
export type SetInput =
  | { readonly type: "add"; readonly key: string; readonly element: string }
  | { readonly type: "remove"; readonly key: string; readonly element: string }
  | { readonly type: "has"; readonly key: string; readonly element: string }
  /** All of it at once. */
  | { readonly type: "members"; readonly key: string };

export type SetOutput =
  /** Whether the element was new. */
  | { readonly type: "add"; readonly added: boolean }
  /** Whether the element was there. */
  | { readonly type: "remove"; readonly removed: boolean }
  | { readonly type: "has"; readonly found: boolean }
  /** In any order. */
  | { readonly type: "members"; readonly elements: readonly string[] };

/** Sorted, without repetition. */
type SetState = readonly string[];

export const setModel: Model<SetState, SetInput, SetOutput> = {
  init: () => [],
  key: (state) => JSON.stringify(state),
  partition: (input) => input.key,
  isRead(input, output) {
    if (input.type === "has" || input.type === "members") return true;
    return (output.type === "add" && !output.added) || (output.type === "remove" && !output.removed);
  },
  step(state, input, output) {
    if (output !== undefined && output.type !== input.type) return undefined;
    switch (input.type) {
      case "add": {
        const isNew = !state.includes(input.element);
        if (output?.type === "add" && output.added !== isNew) return undefined;
        return isNew ? [...state, input.element].sort() : state;
      }
      case "remove": {
        const isThere = state.includes(input.element);
        if (output?.type === "remove" && output.removed !== isThere) return undefined;
        return isThere ? state.filter((element) => element !== input.element) : state;
      }
      case "has":
        return output?.type !== "has" || output.found === state.includes(input.element) ? state : undefined;
      case "members": {
        if (output?.type !== "members") return state;
        const { elements } = output;
        return elements.length === state.length && elements.every((e) => state.includes(e)) ? state : undefined;
      }
    }
  },
};

/** A queue per key: what was put in first comes out first. */
export type QueueInput =
  | { readonly type: "enqueue"; readonly key: string; readonly element: string }
  | { readonly type: "dequeue"; readonly key: string };

export type QueueOutput =
  | { readonly type: "enqueue" }
  /** undefined: it was empty. */
  | { readonly type: "dequeue"; readonly element: string | undefined };

type QueueState = readonly string[];

export const queueModel: Model<QueueState, QueueInput, QueueOutput> = {
  init: () => [],
  key: (state) => JSON.stringify(state),
  partition: (input) => input.key,
  isRead: (input, output) => input.type === "dequeue" && output.type === "dequeue" && output.element === undefined,
  step(state, input, output) {
    if (output !== undefined && output.type !== input.type) return undefined;
    if (input.type === "enqueue") return [...state, input.element];
    if (output?.type === "dequeue" && output.element !== state[0]) return undefined;
    return state.length === 0 ? state : state.slice(1);
  },
};
