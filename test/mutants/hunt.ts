/**
 * One hunt, a process of its own beside the code that it runs: attempts in order until one fails or the budget is used up.
 * `node test/mutants/hunt.ts ENGINE CPU_SECONDS`, or `node test/mutants/hunt.ts --attempt NAME` for a single one.
 *
 * Each attempt is named on stdout before it begins (`try NAME`), so that whoever watches knows which one does not end.
 * The last line is the verdict as JSON. The budget is processor time: a busy machine makes a hunt longer, not weaker.
 */
import { attempt, attempts } from "./killers.ts";
import type { Engine } from "./mutant.ts";

export type HuntVerdict =
  | { readonly type: "survived"; readonly attempts: number; readonly cpuSeconds: number }
  | {
      readonly type: "killed";
      readonly attempts: number;
      readonly cpuSeconds: number;
      readonly attempt: string;
      /** The innermost failure. */
      readonly caught: string;
    }
  /** The code cannot run at all: that proves nothing. */
  | { readonly type: "broken"; readonly attempt: string; readonly caught: string };

async function hunt(names: Iterable<string>, budgetSeconds: number): Promise<HuntVerdict> {
  const before = cpuSeconds();
  let count = 0;
  for (const name of names) {
    const spent = cpuSeconds() - before;
    if (spent >= budgetSeconds) return { type: "survived", attempts: count, cpuSeconds: spent };
    process.stdout.write(`try ${name}\n`);
    count++;
    try {
      await attempt(name);
    } catch (error) {
      const cause = innermost(error);
      const caught = cause.message.split("\n")[0] ?? "";
      if (isBroken(cause)) return { type: "broken", attempt: name, caught: `${cause.name}: ${caught}` };
      return { type: "killed", attempts: count, cpuSeconds: cpuSeconds() - before, attempt: name, caught };
    }
  }
  return { type: "survived", attempts: count, cpuSeconds: cpuSeconds() - before };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function innermost(error: unknown): Error {
  let at = error instanceof Error ? error : new Error(String(error));
  while (at.cause instanceof Error) at = at.cause;
  return at;
}

/** What a compiler would have refused; a mutant is a bug in the protocol, not in the language. */
function isBroken(error: Error): boolean {
  return error instanceof TypeError || error instanceof ReferenceError || error instanceof SyntaxError;
}

const engines: readonly Engine[] = ["raft", "paxos", "host", "wal"];

async function main([first, second]: readonly (string | undefined)[]): Promise<HuntVerdict> {
  if (first === "--attempt" && second !== undefined) return hunt([second], Number.POSITIVE_INFINITY);
  const engine = engines.find((e) => e === first);
  const budgetSeconds = Number(second);
  if (engine === undefined || !(budgetSeconds > 0)) {
    throw new Error(`Cannot hunt: give one of ${engines.join(", ")} and seconds, or --attempt and a name`);
  }
  return hunt(attempts(engine), budgetSeconds);
}

if (import.meta.main) {
  const verdict = await main(process.argv.slice(2));
  process.stdout.write(`${JSON.stringify(verdict)}\n`, () => process.exit(0)); // whatever a mutant left behind
}
