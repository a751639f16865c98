/** A breach of linearizability for a person: the operations that cannot be ordered, drawn along time. */
import type { Operation } from "./history.ts";

/** How one operation is written; the default names its fields. */
export type Describe<Input, Output> = (operation: Operation<Input, Output>) => string;

/**
 * One line an operation, each with a bar from its call to its end; time runs to the right, not to scale: only what overlaps
 * what can be read from it.
 */
export function violationText<Input, Output>(
  violation: {
    readonly partition: string;
    readonly core: readonly Operation<Input, Output>[];
    readonly stuck: Operation<Input, Output>;
  },
  describe: Describe<Input, Output> = fieldsText,
): string {
  const { partition, core, stuck } = violation;
  const shown = core.length > 0 ? core : [stuck];
  const moments = [...new Set(shown.flatMap((o) => [o.call, o.end]))].sort((a, b) => a - b);
  const column = (moment: number): number => moments.indexOf(moment) * COLUMN;
  const labels = shown.map((o) => `client ${o.client}  ${describe(o)}`);
  const width = Math.max(...labels.map((label) => label.length));
  const lines = shown.map((o, i) => {
    const [from, to] = [column(o.call), column(o.end)];
    const bar = `${" ".repeat(from)}├${"─".repeat(to - from - 1)}${o.end === Number.POSITIVE_INFINITY ? "…" : "┤"}`;
    return `  ${(labels[i] ?? "").padEnd(width)}  ${bar}`;
  });
  const place = partition === "" ? "" : ` on ${partition}`;
  return [`Not linearizable${place}: no order of these fits`, ...lines].join("\n");
}

const COLUMN = 3;

function fieldsText({ input, output }: Operation<unknown, unknown>): string {
  return `${fields(input)} → ${output === undefined ? "unknown" : fields(output)}`;
}

/** `{ type: "write", key: "x", value: "a" }` as `write x a`; names only where the value alone says little. */
function fields(record: unknown): string {
  if (typeof record !== "object" || record === null) return String(record);
  return Object.entries(record)
    .map(([name, value]) => {
      if (name === "type" || name === "key" || name === "value") return String(value ?? "nothing");
      return `${name}=${Array.isArray(value) ? `[${value.join(", ")}]` : String(value)}`;
    })
    .join(" ");
}
