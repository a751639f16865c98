/** Tables that people write in `docs/`, held against the tables in the code: limits, metrics, commands and their flags. */
import type { Command, Option } from "commander";
import type { Problems } from "./tree.ts";

/** The part of a page below a heading that begins with `title`, up to the next one of the same or a higher rank. */
export function section(page: string, title: string): string {
  const lines = page.split("\n");
  const from = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, "").startsWith(title));
  if (from === -1) return "";
  const rank = /^#+/.exec(lines[from] ?? "")?.[0].length ?? 0;
  const to = lines.findIndex((line, i) => i > from && new RegExp(`^#{1,${rank}} `).test(line));
  return lines.slice(from, to === -1 ? undefined : to).join("\n");
}

/** The rows of the tables in a text, as cells; heads and rules left out. */
function rowsOf(text: string): readonly (readonly string[])[] {
  const rows = text.split("\n").map((line) => (line.startsWith("|") ? line : ""));
  return rows
    .filter((line, i) => line !== "" && !/^\|[\s:|-]+\|$/.test(line) && !/^\|[\s:|-]+\|$/.test(rows[i + 1] ?? ""))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

const codeSpans = (text: string): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");

/** Names and defaults of a table `| names | defaults | … |` against the code's. Sizes may be written as `64 MiB`. */
export function undocumentedDefaults(text: string, defaults: Readonly<Record<string, number>>): Problems {
  const problems: string[] = [];
  const written = new Map<string, string>();
  for (const [names = "", values = ""] of rowsOf(text)) {
    const cells = values.split(",").map((value) => value.trim());
    for (const [i, name] of codeSpans(names).entries()) written.set(name, cells[i] ?? "");
  }
  for (const [name, value] of Object.entries(defaults)) {
    const cell = written.get(name);
    if (cell === undefined) problems.push(`${name} is not there`);
    else if (numberOf(cell) !== value) problems.push(`${name} is ${value}, the page says ${cell}`);
  }
  for (const name of written.keys()) if (!Object.hasOwn(defaults, name)) problems.push(`${name} does not exist`);
  return problems;
}

function numberOf(text: string): number {
  const [, digits = "", unit = ""] = /^(\d+)(?: (KiB|MiB|GiB))?(?: \(.*\))?$/.exec(text) ?? [];
  const scale = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }[unit] ?? Number.NaN;
  return digits === "" ? Number.NaN : Number(digits) * scale;
}

/**
 * A table `| names | types | … |` of metrics against the catalogue, name → type. `…_b` stands for a name that begins as the
 * first one of its row does, up to its area (`althing_wal`); one type stands for all names of its row.
 */
export function undocumentedMetrics(text: string, catalogue: ReadonlyMap<string, string>): Problems {
  const problems: string[] = [];
  const written = new Set<string>();
  for (const [names = "", types = ""] of rowsOf(text)) {
    const spans = codeSpans(names);
    const area = spans[0]?.split("_").slice(0, 2).join("_") ?? "";
    const kinds = types.split(",").map((type) => type.trim());
    for (const [i, span] of spans.entries()) {
      const name = span.replace(/^…/, area);
      const type = catalogue.get(name);
      const said = kinds[i] ?? kinds[0] ?? "";
      written.add(name);
      if (type === undefined) problems.push(`${name} does not exist`);
      else if (type !== said) problems.push(`${name} is a ${type}, the page says ${said}`);
    }
  }
  for (const name of catalogue.keys()) if (!written.has(name)) problems.push(`${name} is not there`);
  return problems;
}

/** Flags of every command, which the head of the page explains. */
const common: ReadonlySet<string> = new Set(["--json", "--quiet", "--endpoints", "--timeout", "--help", "--version"]);

/**
 * The page of commands against the program. A command has a section of its own, or stands in the table of its group; its
 * section names each of its flags, with the default where a line has the flag in a table, and no flag that it has not. For a
 * command of `elsewhere` that is another text, where its flags are explained.
 */
export function undocumentedCommands(
  page: string,
  program: Command,
  elsewhere: Readonly<Record<string, string>> = {},
): Problems {
  const problems: string[] = [];
  const known = new Map<string, Set<string>>();
  for (const { path, command } of leaves(program, [])) {
    const [place, own] = placeOf(page, path);
    const text = elsewhere[path] ?? own;
    if (place === "") {
      problems.push(`${path} is not there`);
      continue;
    }
    const flags = known.get(place) ?? new Set<string>();
    known.set(place, flags);
    for (const option of command.options) {
      const flag = option.long ?? "";
      flags.add(flag);
      if (common.has(flag) || option.hidden) continue;
      const lines = text.split("\n").filter((line) => new RegExp(`${flag}(?![\\w-])`).test(line));
      if (lines.length === 0) problems.push(`${path}: ${flag} is not there`);
      else if (!saysDefault(lines, option)) {
        problems.push(`${path}: the default of ${flag} is ${String(option.defaultValue)}, the page says another`);
      }
    }
  }
  for (const [place, flags] of known) {
    const prose = section(page, place).replace(/^```[\s\S]*?^```/gm, "");
    for (const span of codeSpans(prose)) {
      if (span.startsWith("etcdctl")) continue;
      for (const [flag] of span.matchAll(/--[a-z][a-z-]*/g)) {
        if (!flags.has(flag) && !common.has(flag)) problems.push(`${place}: ${flag} does not exist`);
      }
    }
  }
  return problems;
}

function saysDefault(lines: readonly string[], option: Option): boolean {
  const value: unknown = option.defaultValue;
  if (typeof value !== "string" && typeof value !== "number") return true; // of a switch
  const text = String(value).replaceAll(".", "\\.");
  return lines.some((line) => new RegExp(`(?<![\\w.])${text}(?!\\w)`).test(line));
}

function* leaves(command: Command, names: readonly string[]): Generator<{ path: string; command: Command }> {
  for (const child of command.commands) {
    const path = [...names, child.name()];
    if (child.commands.length > 0) yield* leaves(child, path);
    else yield { path: path.join(" "), command: child };
  }
}

/** The heading under which a command stands, and the text about it; empty: there is none. */
function placeOf(page: string, path: string): readonly [place: string, text: string] {
  const headed = `\`althing ${path}`;
  const own = section(page, headed);
  if (new RegExp(`^#+ ${headed}[ \`]`).test(own)) return [headed, own];
  const group = path.slice(0, path.lastIndexOf(" "));
  const place = `\`althing ${group}\``;
  const row = section(page, place)
    .split("\n")
    .filter((line) => new RegExp(`^\\| \`${path.slice(group.length + 1)}[ \`]`).test(line));
  return group === "" || row.length === 0 ? ["", ""] : [place, row.join("\n")];
}
