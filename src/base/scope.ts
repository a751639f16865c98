/**
 * Ownership of several resources: `own` what opens, and if the scope ends before `move`, all of it closes, newest first.
 * Node 22 has no `AsyncDisposableStack`; this is the part of it that we use.
 */
export interface AsyncCloseable {
  close(): Promise<void> | void;
}

export class Scope {
  #owned: AsyncCloseable[] = [];

  own<T extends AsyncCloseable>(resource: T): T {
    this.#owned.push(resource);
    return resource;
  }

  /** Registers an action for the end of the scope. */
  defer(action: () => Promise<void> | void): void {
    this.#owned.push({ close: action });
  }

  /** Hands all that is owned to a new scope; this one then closes nothing. */
  move(): Scope {
    const next = new Scope();
    next.#owned = this.#owned;
    this.#owned = [];
    return next;
  }

  /** Closes newest first. Every resource is closed even if one fails; the first failure is thrown at the end. */
  async close(): Promise<void> {
    const owned = this.#owned;
    this.#owned = [];
    let failure: { readonly error: unknown } | undefined;
    for (const resource of owned.reverse()) {
      try {
        await resource.close();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
