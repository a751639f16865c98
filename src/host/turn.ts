/**
 * The end of a turn of the event loop: after the input that the poll phase brought, callbacks of `Clock.afterTurn` run,
 * and after them the sockets write what was sent meanwhile, one write for each. Clock and network share one `Turn`, so
 * that a frame sent from an `afterTurn` callback still leaves in the same turn.
 */
export class Turn {
  #callbacks: (() => void)[] = [];
  #ends: (() => void)[] = [];
  #scheduled = false;

  /** Calls back once after the present input. A callback added by a callback waits for the next turn, so I/O goes on. */
  after(callback: () => void): void {
    this.#callbacks.push(callback);
    this.#schedule();
  }

  /** Calls back once after the `after` callbacks of this turn. */
  atEnd(callback: () => void): void {
    this.#ends.push(callback);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#scheduled = false;
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    for (const callback of callbacks) callback(); // one that throws is a bug, and stops the process
    const ends = this.#ends;
    this.#ends = [];
    for (const end of ends) end();
  }
}
