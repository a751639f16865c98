/**
 * The definition of linearizability itself, for small histories: every order, within real time, of the completed operations
 * with any of the unknown ones between them.
 */
import type { Operation } from "../history.ts";
import type { Model } from "../linearizability.ts";

/** Tries every order of every choice of unknown operations: the definition itself, for small histories. */
export function isLinearizable<S, I, O>(model: Model<S, I, O>, operations: readonly Operation<I, O>[]): boolean {
  const search = (state: S, left: readonly Operation<I, O>[]): boolean => {
    if (left.every((o) => o.end === Number.POSITIVE_INFINITY)) return true;
    const firstEnd = Math.min(...left.map((o) => o.end));
    return left.some((o) => {
      if (o.call > firstEnd) return false;
      const next = model.step(state, o.input, o.output);
      return (
        next !== undefined &&
        search(
          next,
          left.filter((other) => other !== o),
        )
      );
    });
  };
  return search(model.init(), operations);
}
