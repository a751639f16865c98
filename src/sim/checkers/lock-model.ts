/**
 * A lock with fencing tokens for the linearizability checker.
 * Source  Gray & Cheriton 1989 (leases run out by themselves); Burrows 2006, "The Chubby lock service", section 2.4
 *         (sequencers: the resource refuses who comes with an older one).
 *
 * F1. Tokens rise with every holder.
 * F2. Without leases, nobody gets the lock before its holder has given it back. With leases (`mayExpire`) it can pass on at
 *     any time: then only F1 and F3 protect.
 * F3. The resource behind the lock refuses a token older than the newest it has accepted.
 */
import type { Model } from "./linearizability.ts";

/** One lock, and one resource that it protects, per key. */
export type LockInput =
  | { readonly type: "acquire"; readonly key: string }
  | { readonly type: "release"; readonly key: string; readonly token: number }
  /** The resource is used with a token. */
  | { readonly type: "use"; readonly key: string; readonly token: number };

export type LockOutput =
  /** undefined: somebody else holds it. Tokens are above 0. */
  | { readonly type: "acquire"; readonly token: number | undefined }
  /** False: this token does not hold it (any more). */
  | { readonly type: "release"; readonly released: boolean }
  | { readonly type: "use"; readonly accepted: boolean };

interface LockState {
  /** 0: free. undefined: held by one whose token nobody saw; it is above `highest`. */
  readonly holder: number | undefined;
  /** The highest token known to have been given out. */
  readonly highest: number;
  /** The newest token that the resource has accepted. */
  readonly accepted: number;
}

export function lockModel(options: { readonly mayExpire: boolean }): Model<LockState, LockInput, LockOutput> {
  const { mayExpire } = options;
  return {
    init: () => ({ holder: 0, highest: 0, accepted: 0 }),
    key: ({ holder, highest, accepted }) => `${holder ?? "?"}:${highest}:${accepted}`,
    partition: (input) => input.key,
    isRead(_input, output) {
      if (output.type === "acquire") return output.token === undefined;
      return output.type === "release" ? !output.released : !output.accepted;
    },
    step(state, input, output) {
      if (output !== undefined && output.type !== input.type) return undefined;
      switch (input.type) {
        case "acquire":
          return acquire(state, output?.type === "acquire" ? output : undefined, mayExpire);
        case "release": {
          const { token } = input;
          // Whose token nobody saw may be told it in another way.
          const couldHold = state.holder === undefined ? token > state.highest : state.holder === token;
          if (output?.type === "release" && !output.released) {
            // A lease that has run out was held by nobody.
            return state.holder === token && !mayExpire ? undefined : state;
          }
          if (couldHold) return { ...state, holder: 0, highest: Math.max(token, state.highest) };
          return output === undefined ? state : undefined;
        }
        case "use": {
          const isFresh = input.token >= state.accepted;
          if (output?.type === "use" && output.accepted !== isFresh) return undefined; // F3
          return isFresh ? { ...state, accepted: input.token } : state;
        }
      }
    },
  };
}

function acquire(
  state: LockState,
  output: { readonly token: number | undefined } | undefined,
  mayExpire: boolean,
): LockState | undefined {
  const isFree = state.holder === 0;
  if (output === undefined) return isFree || mayExpire ? { ...state, holder: undefined } : state;
  const { token } = output;
  if (token === undefined) return isFree ? undefined : state;
  if (!isFree && !mayExpire) return undefined; // F2
  return token > state.highest ? { ...state, holder: token, highest: token } : undefined; // F1
}
