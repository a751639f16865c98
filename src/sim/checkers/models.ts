/** Sequential models for the linearizability checker. Values are strings; undefined means the key does not exist. */
import type { Model } from "./linearizability.ts";

/** Stands for every value that no operation saw or names. */
const NOBODYS = "\u0000nobody's";

/** Stands for the absence of a value, where absence is something that can be seen and written. */
const NOTHING = "\u0000nothing";

/** A register per key: read, write, compare-and-swap. */
export type RegisterInput =
  | { readonly type: "read"; readonly key: string }
  | { readonly type: "write"; readonly key: string; readonly value: string }
  | { readonly type: "cas"; readonly key: string; readonly from: string | undefined; readonly to: string };

export type RegisterOutput =
  | { readonly type: "read"; readonly value: string | undefined }
  | { readonly type: "written" }
  | { readonly type: "cas"; readonly swapped: boolean };

interface RegisterState {
  readonly value: string | undefined;
}

export const registerModel: Model<RegisterState, RegisterInput, RegisterOutput> = {
  init: () => ({ value: undefined }),
  key: ({ value }) => (value === undefined ? 0 : `v${value}`),
  partition: (input) => input.key,
  values(input, output) {
    switch (input.type) {
      case "read":
        return { saw: output?.type === "read" ? (output.value ?? NOTHING) : undefined };
      case "write":
        return { writes: input.value };
      case "cas": {
        const swapped = output?.type === "cas" && output.swapped;
        const from = input.from ?? NOTHING;
        return { writes: input.to, names: from, needs: from, saw: swapped ? from : undefined };
      }
    }
  },
  forget(input) {
    if (input.type === "read") return undefined;
    return input.type === "write" ? { ...input, value: NOBODYS } : { ...input, to: NOBODYS };
  },
  isRead: (input, output) => input.type === "read" || (output.type === "cas" && !output.swapped),
  holds: ({ value }) => value ?? NOTHING,
  step(state, input, output) {
    switch (input.type) {
      case "read":
        if (output === undefined) return state;
        return output.type === "read" && output.value === state.value ? state : undefined;
      case "write":
        return output === undefined || output.type === "written" ? { value: input.value } : undefined;
      case "cas": {
        const matches = state.value === input.from;
        if (output !== undefined && (output.type !== "cas" || output.swapped !== matches)) return undefined;
        return matches ? { value: input.to } : state;
      }
    }
  },
};

/**
 * One key of an etcd-like store. Every change has a revision of the whole store; one key sees its own rise. `cas` is the
 * transaction "if mod_revision = expected then put else get"; expected 0 means that the key does not exist.
 */
export type KvInput =
  | { readonly type: "get"; readonly key: string }
  | { readonly type: "put"; readonly key: string; readonly value: string }
  | { readonly type: "cas"; readonly key: string; readonly expected: number; readonly value: string }
  | { readonly type: "delete"; readonly key: string };

export type KvOutput =
  /** `modRevision` is 0 exactly if there is no value. */
  | { readonly type: "get"; readonly value: string | undefined; readonly modRevision: number }
  | { readonly type: "put"; readonly revision: number }
  /** `revision` is that of the change if it swapped, else the store's. */
  | { readonly type: "cas"; readonly swapped: boolean; readonly revision: number }
  | { readonly type: "delete"; readonly deleted: boolean; readonly revision: number };

/**
 * `modRevision` is undefined if there is no value, and after a change whose answer nobody saw; then it is above `floor`,
 * the highest revision that this key is known to have had, and the first read that finds the value tells it.
 */
interface KvState {
  readonly value: string | undefined;
  readonly modRevision: number | undefined;
  readonly floor: number;
}

export const kvModel: Model<KvState, KvInput, KvOutput> = {
  init: () => ({ value: undefined, modRevision: undefined, floor: 0 }),
  key: ({ value, modRevision, floor }) => `${modRevision ?? "?"}:${floor}:${value === undefined ? "-" : `v${value}`}`,
  partition: (input) => input.key,
  values(input, output) {
    switch (input.type) {
      case "get":
        return { saw: output?.type === "get" ? (output.value ?? NOTHING) : undefined };
      case "put":
      case "cas":
        return { writes: input.value };
      case "delete":
        return output?.type === "delete" && !output.deleted ? { saw: NOTHING } : { writes: NOTHING };
    }
  },
  forget: (input) => (input.type === "put" || input.type === "cas" ? { ...input, value: NOBODYS } : undefined),
  isRead: (input, output) =>
    input.type === "get" || (output.type === "cas" && !output.swapped) || (output.type === "delete" && !output.deleted),
  holds: ({ value }) => value ?? NOTHING,
  revision(_input, output) {
    if (output.type === "get") {
      return output.modRevision > 0 ? { atMost: output.modRevision, raises: true } : undefined;
    }
    const changed = output.type === "put" || (output.type === "cas" ? output.swapped : output.deleted);
    return { atMost: output.revision, raises: changed };
  },
  isDead: (state, input) => input.type === "cas" && input.expected > 0 && hasPassed(state, input.expected),
  step(state, input, output) {
    switch (input.type) {
      case "get":
        if (output === undefined) return state;
        return output.type === "get" ? stepGet(state, output) : undefined;
      case "put":
        if (output !== undefined && output.type !== "put") return undefined;
        return change(state, input.value, output?.revision);
      case "cas":
        if (output !== undefined && output.type !== "cas") return undefined;
        return stepCas(state, input, output);
      case "delete":
        if (output === undefined) return state.value === undefined ? state : change(state, undefined, undefined);
        if (output.type !== "delete" || output.deleted !== (state.value !== undefined)) return undefined;
        if (output.deleted) return change(state, undefined, output.revision);
        return output.revision >= state.floor ? state : undefined;
    }
  },
};

function stepGet(
  state: KvState,
  output: { readonly value: string | undefined; readonly modRevision: number },
): KvState | undefined {
  if (output.value !== state.value) return undefined;
  if (state.value === undefined) return output.modRevision === 0 ? state : undefined;
  return withRevision(state, output.modRevision);
}

function stepCas(
  state: KvState,
  input: { readonly expected: number; readonly value: string },
  output: { readonly swapped: boolean; readonly revision: number } | undefined,
): KvState | undefined {
  if (output === undefined) {
    // If the key's revision is unknown, so is whether this swapped. It may also have had no effect at all: the search can
    // leave it out, so only the swap needs to be offered, unless it surely does not match.
    return couldBe(state, input.expected) ? change(state, input.value, undefined) : state;
  }
  if (output.swapped) {
    return couldBe(state, input.expected) ? change(state, input.value, output.revision) : undefined;
  }
  // Refused: the revision was another one. An unknown revision allows that for every `expected`.
  const surelyEqual = currentRevision(state) === input.expected;
  return surelyEqual || output.revision < state.floor ? undefined : state;
}

/** 0 if there is no value, undefined if nobody knows. */
function currentRevision(state: KvState): number | undefined {
  return state.value === undefined ? 0 : state.modRevision;
}

function couldBe(state: KvState, expected: number): boolean {
  const current = currentRevision(state);
  return current === undefined ? expected > state.floor : current === expected;
}

/** The key will never have this revision (again): revisions rise. */
function hasPassed(state: KvState, revision: number): boolean {
  return state.modRevision === undefined ? revision <= state.floor : revision < state.modRevision;
}

function withRevision(state: KvState, revision: number): KvState | undefined {
  if (state.modRevision !== undefined) return state.modRevision === revision ? state : undefined;
  return revision > state.floor ? { ...state, modRevision: revision, floor: revision } : undefined;
}

function change(state: KvState, value: string | undefined, revision: number | undefined): KvState | undefined {
  if (revision === undefined) return { value, modRevision: undefined, floor: state.floor };
  if (revision <= state.floor) return undefined;
  return { value, modRevision: value === undefined ? undefined : revision, floor: revision };
}
