/**
 * The Observer as a log on stderr: JSON lines (pino), or one short line an event where stderr is a terminal. Writing never
 * makes the node wait; see `line-output.ts`.
 */
import { pino, stdTimeFunctions } from "pino";
import type { ObservedEvent, ObservedLevel, Observer } from "../ports/observer.ts";
import { LineOutput } from "./line-output.ts";
import { logFields, prettyLine } from "./log-line.ts";

export interface LogOptions {
  /** Events below it are left out. Default `info`. */
  readonly level?: ObservedLevel;
  /** Fields of every JSON line, such as the node's id. */
  readonly base?: Readonly<Record<string, unknown>>;
  /** Short lines for people. Default: if stderr is a terminal. */
  readonly pretty?: boolean;
  /** Where lines go instead of stderr. */
  readonly output?: LogOutput;
}

export interface LogOutput {
  /** `line` ends in a line end. */
  write(line: string): void;
  /** Lines that could not be written, since the last call. */
  takeDropped?(): number;
}

const SEVERITY: Readonly<Record<ObservedLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

export class LogObserver implements Observer {
  readonly #level: ObservedLevel;
  readonly #output: LogOutput;
  readonly #write: (event: ObservedEvent, level: ObservedLevel) => void;

  constructor(options: LogOptions = {}) {
    this.#level = options.level ?? "info";
    this.#output = options.output ?? new LineOutput(2);
    this.#write = (options.pretty ?? process.stderr.isTTY) ? this.#prettyWriter() : this.#jsonWriter(options);
  }

  observe(event: ObservedEvent): void {
    const level = event.level ?? "debug";
    if (SEVERITY[level] < SEVERITY[this.#level]) return;
    const lines = this.#output.takeDropped?.() ?? 0;
    if (lines > 0) this.#write({ type: "log-lines-dropped", lines }, "warn");
    this.#write(event, level);
  }

  #jsonWriter(options: LogOptions): (event: ObservedEvent, level: ObservedLevel) => void {
    const base = options.base ?? {};
    const logger = pino(
      {
        level: this.#level,
        base,
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      this.#output,
    );
    return (event, level) => logger[level]({ event: event.type, ...logFields(event, base) });
  }

  #prettyWriter(): (event: ObservedEvent, level: ObservedLevel) => void {
    const colour = process.stderr.isTTY && (process.env["NO_COLOR"] ?? "") === "";
    return (event, level) => this.#output.write(`${prettyLine({ ...event, level }, Date.now(), { colour })}\n`);
  }
}
