/**
 * The Observer as a log on stderr: JSON lines (pino), or one short line an event where stderr is a terminal.
 *
 * Lines are written behind the event loop's back, because a reader that stalls (a full pipe) must not stall the node; over
 * a megabyte of unwritten lines, further ones are dropped and counted. An error is written at once: the process may be
 * about to end.
 */
import { type DestinationStream, destination, pino, stdTimeFunctions } from "pino";
import type { ObservedEvent, ObservedLevel, Observer } from "../ports/observer.ts";
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

export interface LogOutput extends DestinationStream {
  flushSync?(): void;
}

const UNWRITTEN_BYTES_MAX = 1024 * 1024;
const SEVERITY: Readonly<Record<ObservedLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

export class LogObserver implements Observer {
  readonly #level: ObservedLevel;
  readonly #output: LogOutput;
  readonly #write: (event: ObservedEvent, level: ObservedLevel) => void;
  #dropped = 0;

  constructor(options: LogOptions = {}) {
    this.#level = options.level ?? "info";
    this.#output = options.output ?? this.#stderr();
    this.#write = (options.pretty ?? process.stderr.isTTY) ? this.#prettyWriter() : this.#jsonWriter(options);
  }

  observe(event: ObservedEvent): void {
    const level = event.level ?? "debug";
    if (SEVERITY[level] < SEVERITY[this.#level]) return;
    if (this.#dropped > 0) {
      const lines = this.#dropped;
      this.#dropped = 0;
      this.#write({ type: "log-lines-dropped", lines }, "warn");
    }
    this.#write(event, level);
    if (level === "error") this.flush();
  }

  /** Writes what is waiting. */
  flush(): void {
    try {
      this.#output.flushSync?.();
    } catch {
      // stderr is gone; there is nobody to tell
    }
  }

  #jsonWriter(options: LogOptions): (event: ObservedEvent, level: ObservedLevel) => void {
    const logger = pino(
      {
        level: this.#level,
        base: options.base ?? {},
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      this.#output,
    );
    return (event, level) => logger[level]({ event: event.type, ...logFields(event) });
  }

  #prettyWriter(): (event: ObservedEvent, level: ObservedLevel) => void {
    const colour = process.stderr.isTTY && (process.env["NO_COLOR"] ?? "") === "";
    return (event, level) => this.#output.write(`${prettyLine({ ...event, level }, Date.now(), { colour })}\n`);
  }

  #stderr(): LogOutput {
    const output = destination({ fd: 2, sync: false, maxLength: UNWRITTEN_BYTES_MAX });
    output.on("drop", () => {
      this.#dropped++;
    });
    output.on("error", () => undefined); // a closed stderr must not end the node
    return output;
  }
}
