/**
 * One life of a simulated process. Everything that will call into a node's code is an event owned by such a life, so
 * that three rules hold without any help from the code under test:
 *
 * P1. A dead life never runs again: its timers, callbacks and I/O completions are dropped.
 * P2. A paused life (SIGSTOP) runs nothing; its events are held and come, in their order, after it resumes.
 * P3. A restart is a new life: nothing of the old one reaches it but what the disk kept.
 */
type State =
  | { readonly type: "running" }
  | { readonly type: "paused" }
  | { readonly type: "dead"; readonly why: string };

const RUNNING: State = { type: "running" };
const PAUSED: State = { type: "paused" };

export class SimProcess {
  /** The machine it runs on. */
  readonly node: number;
  /** Counts the lives of that machine from 0. */
  readonly life: number;
  #state: State = RUNNING;
  readonly #onDeath = new Set<() => void>();

  constructor(node: number, life: number) {
    this.node = node;
    this.life = life;
  }

  get alive(): boolean {
    return this.#state.type !== "dead";
  }

  get running(): boolean {
    return this.#state.type === "running";
  }

  get paused(): boolean {
    return this.#state.type === "paused";
  }

  /** Called once when the life ends; at once if it has ended. Returns the way to stop listening. */
  onDeath(callback: () => void): () => void {
    if (!this.alive) {
      callback();
      return () => undefined;
    }
    this.#onDeath.add(callback);
    return () => {
      this.#onDeath.delete(callback);
    };
  }

  pause(): void {
    if (this.#state.type === "running") this.#state = PAUSED;
  }

  /** Called by `World.resume`, which hands over what was held. */
  resume(): void {
    if (this.#state.type === "paused") this.#state = RUNNING;
  }

  kill(why: string): void {
    if (this.#state.type === "dead") return;
    this.#state = { type: "dead", why };
    const listeners = [...this.#onDeath];
    this.#onDeath.clear();
    for (const listener of listeners) listener();
  }
}
