/**
 * What clients saw: one operation per call, with the order of its beginning and end. The simulator runs one event at a
 * time, so a plain counter orders all beginnings and ends exactly; elsewhere it may be a clock shared by all clients.
 */
import { assert } from "../../base/assert.ts";

export interface Operation<Input, Output> {
  readonly client: number;
  readonly input: Input;
  /** Rises over all beginnings and ends of a history. */
  readonly call: number;
  /** Infinity: nobody knows whether or when it took effect. */
  readonly end: number;
  /** undefined exactly if `end` is Infinity. */
  readonly output: Output | undefined;
}

interface Open<Input> {
  readonly client: number;
  readonly input: Input;
  readonly call: number;
}

/** Records a history while clients run. */
export class History<Input, Output> {
  #order = 0;
  readonly #open = new Map<number, Open<Input>>();
  readonly #done: Operation<Input, Output>[] = [];

  /** A call begins. Returns its id. */
  begin(client: number, input: Input): number {
    const id = this.#order++;
    this.#open.set(id, { client, input, call: id });
    return id;
  }

  /** The call was answered. */
  end(id: number, output: Output): void {
    this.#done.push({ ...this.#take(id), end: this.#order++, output });
  }

  /** The call surely had no effect and never will: it is not part of the history. */
  refused(id: number): void {
    this.#take(id);
  }

  /** The call may have had its effect, may have it later, or never. */
  unknown(id: number): void {
    this.#done.push({ ...this.#take(id), end: Number.POSITIVE_INFINITY, output: undefined });
  }

  /** All operations; calls that never ended count as unknown. Ordered by their beginning. */
  operations(): readonly Operation<Input, Output>[] {
    const open = [...this.#open.values()].map((o) => ({ ...o, end: Number.POSITIVE_INFINITY, output: undefined }));
    return [...this.#done, ...open].sort((a, b) => a.call - b.call);
  }

  #take(id: number): Open<Input> {
    const open = this.#open.get(id);
    assert(open !== undefined, "an operation ends once", { id });
    this.#open.delete(id);
    return open;
  }
}
