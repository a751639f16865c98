/**
 * Where a command writes. Results go to stdout, narration and progress to stderr; with `--json` a result is one JSON
 * object per line and nothing else is on stdout. No module of the command line writes to the streams directly.
 */
import type { CliFailure } from "./failure.ts";
import { exitCodes } from "./exit-codes.ts";
import { createStyle, type StreamTraits, type Style } from "./style.ts";
import { type Cell, type Column, renderTable } from "./table.ts";

export interface TextSink extends StreamTraits {
  write(data: string | Uint8Array): unknown;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

export class Output {
  readonly json: boolean;
  /** For text on stdout. */
  readonly style: Style;
  /** For text on stderr. */
  readonly noteStyle: Style;
  readonly #quiet: boolean;
  readonly #stdout: TextSink;
  readonly #stderr: TextSink;
  /** A progress line stands on the terminal without a line break. */
  #open = false;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.#quiet = options.quiet;
    this.#stdout = options.stdout;
    this.#stderr = options.stderr;
    this.style = createStyle(options.env, options.stdout);
    this.noteStyle = createStyle(options.env, options.stderr);
  }

  /** One line of result for people; silent with `--json`. */
  line(text = ""): void {
    if (this.json) return;
    this.#endProgress();
    this.#stdout.write(`${text}\n`);
  }

  /** Result bytes as they are, with a line break behind them; silent with `--json`. */
  bytes(bytes: Uint8Array): void {
    if (this.json) return;
    this.#endProgress();
    this.#stdout.write(bytes);
    this.#stdout.write("\n");
  }

  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    for (const line of renderTable(columns, rows, this.style)) this.line(line);
  }

  /** One JSON object on stdout, only with `--json`. `bigint` becomes a decimal string. */
  record(value: Readonly<Record<string, unknown>>): void {
    if (!this.json) return;
    this.#stdout.write(`${toJson(value)}\n`);
  }

  /** Narration on stderr. Silent with `--quiet`. */
  note(text = ""): void {
    if (this.#quiet) return;
    this.#endProgress();
    this.#stderr.write(`${text}\n`);
  }

  /** A line that the next progress line replaces. Only on a terminal that can; elsewhere nothing. */
  progress(text: string): void {
    if (this.#quiet || !this.noteStyle.live) return;
    this.#stderr.write(`\r\u001b[2K${text}`);
    this.#open = text !== "";
  }

  /** Several lines, redrawn in place: moves up over the `above` lines drawn before. Only on a terminal that can. */
  redraw(lines: readonly string[], above: number): void {
    if (this.#quiet || !this.noteStyle.live) return;
    const up = above > 0 ? `\u001b[${above}A` : "";
    this.#stderr.write(`${up}\r\u001b[0J${lines.map((line) => `${line}\n`).join("")}`);
  }

  /** The end of a command that failed, on stderr. */
  failure(failure: CliFailure): void {
    this.#endProgress();
    if (this.json) {
      const { message, code, next } = failure;
      this.#stderr.write(`${toJson({ error: { message, code, next, exit: exitCodes[failure.exit] } })}\n`);
    } else {
      this.#stderr.write(`${this.noteStyle.bad("error:")} ${failure.line}\n`);
    }
  }

  #endProgress(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stderr.write("\r\u001b[2K");
  }
}

export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, field: unknown) => (typeof field === "bigint" ? field.toString() : field));
}
