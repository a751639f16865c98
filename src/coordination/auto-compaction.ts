/**
 * Compaction without an operator, by age or by count; off unless configured. Every node notes which revision was reached
 * when, so that a new leader can go on; only the leader proposes. Modes and rhythm as etcd's `--auto-compaction-mode`.
 */
import type { Timer } from "../ports/clock.ts";
import type { Access } from "./access.ts";
import { CommandTag, command } from "./command.ts";
import { CompactionRequest } from "./messages.ts";

export type AutoCompactionMode =
  | { readonly type: "off" }
  /** Keeps what was current less than this long ago. */
  | { readonly type: "periodic"; readonly retentionMs: number }
  /** Keeps this many revisions. */
  | { readonly type: "revision"; readonly retention: number };

const REVISION_INTERVAL_MS = 5 * 60_000;
const SAMPLES_PER_RETENTION = 10;
const SAMPLE_MS_MIN = 100;
const SAMPLE_MS_MAX = 6 * 60_000;

export class AutoCompaction {
  readonly #access: Access;
  /** Oldest first: what was the revision then. */
  #samples: { readonly atMs: number; readonly revision: number }[] = [];
  #timer: Timer | undefined;
  #closed = false;

  constructor(access: Access, mode: AutoCompactionMode) {
    this.#access = access;
    if (mode.type !== "off") this.#plan(mode);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #plan(mode: Exclude<AutoCompactionMode, { readonly type: "off" }>): void {
    if (this.#closed) return;
    this.#timer = this.#access.clock.timer(intervalMs(mode), () => {
      const revision = this.#due(mode);
      if (revision !== undefined) this.#compact(revision);
      this.#plan(mode);
    });
  }

  /** The revision up to which nobody needs history any more. */
  #due(mode: Exclude<AutoCompactionMode, { readonly type: "off" }>): number | undefined {
    const { store, clock } = this.#access;
    if (mode.type === "revision") return store.revision - mode.retention;
    const nowMs = clock.monotonicMs();
    this.#samples.push({ atMs: nowMs, revision: store.revision });
    const old = this.#samples.filter((sample) => sample.atMs <= nowMs - mode.retentionMs);
    const newest = old[old.length - 1];
    if (newest === undefined) return undefined;
    this.#samples = this.#samples.slice(old.length - 1); // the newest old one stays: it is due until a newer one is
    return newest.revision;
  }

  #compact(revision: number): void {
    const { handle, store, observer } = this.#access;
    if (!handle.isReadyLeader || revision <= Math.max(store.compactRevision, 1)) return;
    this.#access.submit(command(CommandTag.compact, CompactionRequest, { revision }), (error, _result) => {
      // COMPACTED: somebody was faster. Anything else is tried again next time.
      const type = error === undefined ? "auto-compacted" : "auto-compaction-failed";
      observer.observe({ type, revision, ...(error === undefined ? {} : { why: error.code }) });
    });
  }
}

function intervalMs(mode: Exclude<AutoCompactionMode, { readonly type: "off" }>): number {
  if (mode.type === "revision") return REVISION_INTERVAL_MS;
  return Math.min(Math.max(mode.retentionMs / SAMPLES_PER_RETENTION, SAMPLE_MS_MIN), SAMPLE_MS_MAX);
}
