/**
 * What happened in a run, for the reader of a failure: the last events as JSON lines, bounded, and one command that
 * replays the run. Nothing is rendered before somebody asks.
 */
import type { ObservedEvent } from "../ports/observer.ts";
import type { Fault } from "./faults.ts";

export interface TraceEntry {
  readonly timeMs: number;
  /** 0: the world itself (faults, clients, checks). */
  readonly node: number;
  readonly event: ObservedEvent;
}

export class Trace {
  readonly #entries: TraceEntry[] = [];
  readonly #entriesMax: number;
  #next = 0;
  #total = 0;
  readonly #counts = new Map<string, number>();

  constructor(entriesMax = 2_000) {
    this.#entriesMax = entriesMax;
  }

  record(timeMs: number, node: number, event: ObservedEvent): void {
    const entry = { timeMs, node, event };
    if (this.#entries.length < this.#entriesMax) this.#entries.push(entry);
    else this.#entries[this.#next] = entry;
    this.#next = (this.#next + 1) % this.#entriesMax;
    this.#total++;
    this.#counts.set(event.type, (this.#counts.get(event.type) ?? 0) + 1);
  }

  /** Events recorded in all, kept or not. */
  get total(): number {
    return this.#total;
  }

  /** How often each type of event was recorded: shows which faults fired and which paths were reached. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** The kept entries, oldest first; at most the newest `max`. */
  entries(max: number = this.#entriesMax): readonly TraceEntry[] {
    const full = this.#entries.length === this.#entriesMax;
    const ordered = full
      ? [...this.#entries.slice(this.#next), ...this.#entries.slice(0, this.#next)]
      : [...this.#entries];
    return ordered.slice(Math.max(0, ordered.length - max));
  }

  /** One JSON object a line: `{"t":ms,"node":n,"type":…}`. */
  toJsonLines(max: number = this.#entriesMax): string {
    return this.entries(max).map(render).join("\n");
  }
}

function render(entry: TraceEntry): string {
  const line = { t: Math.round(entry.timeMs * 1000) / 1000, node: entry.node, ...entry.event };
  try {
    return JSON.stringify(line, (_, value: unknown) => {
      if (typeof value === "bigint") return value.toString();
      if (value instanceof Uint8Array) return `bytes(${value.length})`;
      if (value instanceof Error) return `${value.name}: ${value.message}`;
      return value;
    });
  } catch {
    return JSON.stringify({ t: line.t, node: entry.node, type: entry.event.type, unprintable: true });
  }
}

/** What makes a run: its seed, and which of its faults happen, by position; undefined: all. */
export interface ReplayKey {
  readonly seed: number;
  readonly keepFaults?: readonly number[];
}

export interface FailedRun extends ReplayKey {
  readonly timeMs: number;
  readonly node: number | undefined;
  readonly trace: Trace;
  readonly hash: string;
  /** Simulated events up to the failure: what another run will about cost. */
  readonly events: number;
  /** The schedule of the run, whether drawn or given. */
  readonly faults: readonly Fault[];
  /** The one command that shows the run again. */
  readonly replay: (key: ReplayKey) => string;
  readonly cause?: unknown;
}

const LAST_EVENTS = 40;
const FAULTS_SHOWN = 12;

/** A simulated run that failed: everything a reader needs to see it again. */
export class SimulationFailure extends Error {
  readonly seed: number;
  readonly timeMs: number;
  readonly trace: Trace;
  readonly hash: string;
  readonly events: number;
  readonly faults: readonly Fault[];
  /** The positions of `faults` in the schedule that the seed draws; undefined: they are the whole schedule. */
  readonly keepFaults: readonly number[] | undefined;
  /** The one command that shows the run again. */
  readonly replay: string;
  /** How the failure was found, and its faults if they are few: for people. */
  readonly notes: readonly string[];
  readonly #what: string;
  readonly #run: FailedRun;

  constructor(what: string, run: FailedRun, note = "") {
    const replay = run.replay(run);
    const notes = [...(note === "" ? [] : [note]), ...describeFaults(run)];
    super(
      [
        `Seed ${run.seed} failed at ${Math.round(run.timeMs)} ms of virtual time${whereText(run)}: ${what}`,
        ...notes,
        "The last events:",
        run.trace.toJsonLines(LAST_EVENTS),
        `Replay it with: ${replay}`,
      ].join("\n"),
      run.cause === undefined ? undefined : { cause: run.cause },
    );
    this.name = "SimulationFailure";
    this.seed = run.seed;
    this.timeMs = run.timeMs;
    this.trace = run.trace;
    this.hash = run.hash;
    this.events = run.events;
    this.faults = run.faults;
    this.keepFaults = run.keepFaults;
    this.replay = replay;
    this.notes = notes;
    this.#what = what;
    this.#run = run;
  }

  /** The same failure with a line that says how it was found. */
  withNote(note: string): SimulationFailure {
    return new SimulationFailure(this.#what, this.#run, note);
  }
}

function whereText({ node }: FailedRun): string {
  return node === undefined || node === 0 ? "" : ` on node ${node}`;
}

/** The schedule, if it is short: one line for each fault, with its position. */
function describeFaults({ faults, keepFaults }: FailedRun): readonly string[] {
  if (faults.length === 0) return ["Faults: none"];
  if (faults.length > FAULTS_SHOWN) return [`Faults: ${faults.length}`];
  return ["Faults:", ...faults.map((fault, i) => `  ${keepFaults?.[i] ?? i}: ${JSON.stringify(fault)}`)];
}
