import type { Observer } from "../ports/observer.ts";

/** Tells every observer each event, in the order given. */
export function fanOut(...observers: readonly Observer[]): Observer {
  return {
    observe: (event) => {
      for (const observer of observers) observer.observe(event);
    },
  };
}
