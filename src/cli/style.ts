/**
 * Colour and movement, decided once per stream from the environment.
 * Precedence: FORCE_COLOR, then NO_COLOR (no-color.org), then TERM=dumb, then whether the stream is a terminal. Movement
 * (redrawing a line) needs a terminal that is not dumb and no CI, whatever the colours are.
 */
import { styleText } from "node:util";

export interface StreamTraits {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface Style {
  readonly colour: boolean;
  /** May lines be redrawn in place? */
  readonly live: boolean;
  /** Columns to fit into; undefined: do not cut anything. */
  readonly width: number | undefined;
  ok(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
  dim(text: string): string;
  strong(text: string): string;
  accent(text: string): string;
}

type Environment = Readonly<Record<string, string | undefined>>;
type Format = Parameters<typeof styleText>[0];

export function colourWanted(env: Environment, stream: StreamTraits): boolean {
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  const refused = env["NO_COLOR"];
  if (refused !== undefined && refused !== "") return false;
  if (env["TERM"] === "dumb") return false;
  return stream.isTTY === true;
}

export function movementWanted(env: Environment, stream: StreamTraits): boolean {
  const ci = env["CI"];
  const inCi = ci !== undefined && ci !== "" && ci !== "0" && ci !== "false";
  return stream.isTTY === true && env["TERM"] !== "dumb" && !inCi;
}

export function createStyle(env: Environment, stream: StreamTraits): Style {
  const colour = colourWanted(env, stream);
  const paint =
    (format: Format) =>
    (text: string): string =>
      colour && text !== "" ? styleText(format, text, { validateStream: false }) : text;
  return {
    colour,
    live: movementWanted(env, stream),
    width: stream.isTTY === true ? terminalWidth(env, stream) : undefined,
    ok: paint("green"),
    warn: paint("yellow"),
    bad: paint(["red", "bold"]),
    dim: paint("dim"),
    strong: paint("bold"),
    accent: paint("cyan"),
  };
}

function terminalWidth(env: Environment, stream: StreamTraits): number {
  const asked = Number(env["COLUMNS"]);
  if (Number.isInteger(asked) && asked > 0) return asked;
  return stream.columns !== undefined && stream.columns > 0 ? stream.columns : 80;
}
