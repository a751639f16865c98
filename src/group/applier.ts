/**
 * Committed entries on their way into the state machine.
 * Owns    the order and pace of applying (duty 5 of `consensus/contract/core.ts`): a bounded time at once, so that a long
 *         queue does not keep ticks and messages waiting; and whether the machine is whole.
 */
import { AssertionError } from "../base/assert.ts";
import { BytesError } from "../base/bytes.ts";
import type { LogIndex } from "../base/ids.ts";
import type { LogRecord } from "../consensus/contract/record.ts";
import type { Clock } from "../ports/clock.ts";

const APPLY_BUDGET_MS = 20;

export interface ApplierPort {
  readonly clock: Clock;
  readonly replica: { readonly applied: LogIndex; apply(entry: LogRecord): void };
  /** One entry was applied. */
  applied(entry: LogRecord): void;
  /** As much was applied as is for now. */
  advanced(): void;
}

export class Applier {
  readonly #port: ApplierPort;
  /** Committed and not yet applied. */
  #waiting: LogRecord[] = [];
  #isWhole = true;

  constructor(port: ApplierPort) {
    this.#port = port;
  }

  get applied(): LogIndex {
    return this.#port.replica.applied;
  }

  /** False while a snapshot is being installed: the machine then holds neither the old state nor the new one. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** True while there are committed entries that are not applied. */
  get isBehind(): boolean {
    return this.#waiting.length > 0;
  }

  add(entries: readonly LogRecord[]): void {
    for (const entry of entries) this.#waiting.push(entry);
    this.applySome();
  }

  applySome(): void {
    if (!this.#isWhole || this.#waiting.length === 0) return;
    const { clock } = this.#port;
    const untilMs = clock.monotonicMs() + APPLY_BUDGET_MS;
    let done = 0;
    for (const entry of this.#waiting) {
      if (done > 0 && clock.monotonicMs() >= untilMs) break;
      this.#apply(entry);
      this.#port.applied(entry);
      done++;
    }
    this.#waiting = done === this.#waiting.length ? [] : this.#waiting.slice(done);
    this.#port.advanced();
  }

  /** From now on nothing is applied: the machine is being replaced. */
  hold(): void {
    this.#isWhole = false;
  }

  /** The machine is whole again, and may stand further on than before. */
  release(): void {
    this.#isWhole = true;
  }

  /** The state up to `index` came by another way. */
  forget(index: LogIndex): void {
    this.#waiting = this.#waiting.filter((entry) => entry.index > index);
  }

  /** What a link takes for a bad frame must not come from in here. */
  #apply(entry: LogRecord): void {
    try {
      this.#port.replica.apply(entry);
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      throw new AssertionError("a committed entry can be read", { index: entry.index, why: error.message });
    }
  }
}
