/**
 * What happened, told as typed facts. Cores and hosts hold no logger: they tell the Observer, and it feeds the log, the
 * metrics, the console, the simulator's trace and the checkers. An event name is kebab-case; fields are bounded in size.
 */
export type ObservedLevel = "debug" | "info" | "warn" | "error";

export interface ObservedEvent {
  readonly type: string;
  /** Default `debug`. Level `error` fails a simulated run. */
  readonly level?: ObservedLevel;
  readonly [field: string]: unknown;
}

export interface Observer {
  observe(event: ObservedEvent): void;
}

export const silentObserver: Observer = { observe: () => undefined };
