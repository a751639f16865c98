/**
 * Checkpoints of the applied state, and the log that they make superfluous.
 * Owns    when a checkpoint is due, writing one at a time, how much log is kept behind it for followers that lag.
 *
 * H2. A checkpoint never claims more than is applied, and what is applied is committed and durable in the WAL.
 */
import { assert } from "../base/assert.ts";
import { hasCode } from "../base/errors.ts";
import { type LogIndex, logIndex } from "../base/ids.ts";
import type { LogStart } from "../consensus/contract/core.ts";
import type { LogRecord } from "../consensus/contract/record.ts";
import { sleep } from "../ports/clock.ts";
import type { CheckpointFile } from "./checkpoint-file.ts";
import type { Pump } from "./pump.ts";
import type { DurableState } from "./state-machine.ts";

const CHECKPOINT_IDLE_MS = 30_000;
const FULL_RETRY_MS = 1_000;

export interface CheckpointsPort {
  readonly state: { readonly applied: LogIndex; readonly isWhole: boolean };
  encodeMeta(start: LogStart): Uint8Array;
  /** Entries above this index are still to be sent to a follower that takes a snapshot; Infinity: none is. */
  keepAbove(): number;
}

export interface CheckpointsStart {
  readonly durable: DurableState;
  /** The same, for a machine that keeps its state in memory. */
  readonly file: CheckpointFile | undefined;
  /** The log holds harmless damage, and what it was is in a checkpoint from this index on. */
  readonly cleanUpTo: LogIndex | undefined;
}

export class Checkpoints {
  readonly #pump: Pump;
  readonly #durable: DurableState;
  readonly #file: CheckpointFile | undefined;
  readonly #port: CheckpointsPort;
  /** Sizes of applied entries, for deciding how much log to keep. */
  #recent: { readonly index: LogIndex; readonly bytes: number }[] = [];
  #underWay: Promise<void> | undefined;
  #last: LogIndex;
  #lastMs: number;
  /** Set when the disk had no room for one. */
  #notBeforeMs = 0;
  /** The log was repaired up to here, but damaged records are still on the disk and would be found again at a restart. */
  #cleanUpTo: LogIndex | undefined;

  constructor(pump: Pump, recovered: CheckpointsStart, port: CheckpointsPort) {
    this.#pump = pump;
    this.#durable = recovered.durable;
    this.#file = recovered.file;
    this.#cleanUpTo = recovered.cleanUpTo;
    this.#port = port;
    this.#last = port.state.applied;
    this.#lastMs = pump.ports.clock.monotonicMs();
  }

  /** Up to here the state is in the last checkpoint. */
  get last(): LogIndex {
    return this.#last;
  }

  /** An entry was applied. */
  note(entry: LogRecord): void {
    this.#recent.push({ index: entry.index, bytes: entry.body.length });
    this.#file?.note(entry.body.length);
  }

  /** The damage in the log is repaired up to here: once that is in a checkpoint, the damaged segments may go. */
  repaired(upTo: LogIndex): void {
    this.#cleanUpTo = upTo;
  }

  /** Writes one, or joins the one that is being written. */
  write(): Promise<void> {
    this.#underWay ??= this.#writeNow().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  /** For the end of the one that is being written, if any; what became of it is its caller's. */
  idle(): Promise<void> | undefined {
    return this.#underWay?.catch(() => undefined);
  }

  /** H3 of `group.ts`: a full disk is no reason to stop; the log holds what is in no checkpoint yet. */
  keep(nowMs: number): void {
    if (nowMs < this.#notBeforeMs) return;
    const isDirty = this.#cleanUpTo !== undefined && this.#port.state.applied >= this.#cleanUpTo;
    let work: Promise<void>;
    if (isDirty && this.#underWay === undefined) work = this.#cleanLog();
    else if (this.#isDue(nowMs)) work = this.write();
    else return;
    const { ports, settings } = this.#pump;
    work.catch((error: unknown) => {
      if (!hasCode(error, "DISK_FULL")) return settings.fatal(error);
      this.#notBeforeMs = ports.clock.monotonicMs() + FULL_RETRY_MS;
      ports.observer.observe({ type: "checkpoint-waits", level: "warn", group: settings.group });
    });
  }

  /** Makes the state of a snapshot durable. A full disk passes; until then nothing is applied. */
  async writeWithPatience(meta: Uint8Array): Promise<void> {
    const { ports, settings } = this.#pump;
    for (;;) {
      try {
        await this.#durable.checkpoint(meta);
        return;
      } catch (error) {
        if (!hasCode(error, "DISK_FULL") || this.#pump.closed) throw error;
        ports.observer.observe({ type: "checkpoint-waits", level: "warn", group: settings.group });
      }
      await sleep(ports.clock, FULL_RETRY_MS);
    }
  }

  /** The state was replaced by one that ends at `index` and is durable. */
  replaced(index: LogIndex): void {
    this.#last = index;
    this.#lastMs = this.#pump.ports.clock.monotonicMs();
    this.#recent = [];
  }

  #isDue(nowMs: number): boolean {
    if (this.#underWay !== undefined || !this.#port.state.isWhole || this.#port.state.applied === this.#last)
      return false;
    const dirty = this.#durable.dirtyBytes();
    return dirty > this.#pump.settings.limits.dirtyBytesMax || nowMs - this.#lastMs > CHECKPOINT_IDLE_MS;
  }

  async #writeNow(): Promise<void> {
    const { applied, isWhole } = this.#port.state;
    if (!isWhole || applied === this.#last) return;
    const { core, ports, settings } = this.#pump;
    const start = core.startAt(applied);
    assert(start !== undefined, "H2: the applied point is in the log", { applied });
    await this.#durable.checkpoint(this.#port.encodeMeta(start));
    this.#last = start.index;
    this.#lastMs = ports.clock.monotonicMs();
    ports.observer.observe({ type: "checkpoint", group: settings.group, index: start.index });
    if (!this.#pump.closed) this.#trim(start.index);
  }

  /** Lets the WAL recycle the segments with the damage: everything in them is in the checkpoint or behind it. */
  async #cleanLog(): Promise<void> {
    await this.write();
    if (this.#pump.closed || this.#cleanUpTo === undefined || this.#last < this.#cleanUpTo) return;
    this.#cleanUpTo = undefined;
    const { settings } = this.#pump;
    settings.wal.trim(settings.group, this.#last);
  }

  /** Shortens the log to the checkpoint, less a tail for followers that lag. */
  #trim(checkpoint: LogIndex): void {
    const { core, settings } = this.#pump;
    let kept = 0;
    let keepFrom = this.#recent.length;
    while (keepFrom > 0) {
      const entry = this.#recent[keepFrom - 1];
      if (entry === undefined || (kept + entry.bytes > settings.limits.logBytesKept && entry.index <= checkpoint))
        break;
      kept += entry.bytes;
      keepFrom--;
    }
    const last = this.#recent[keepFrom - 1];
    if (last === undefined) return;
    const start = core.startAt(logIndex(Math.min(last.index, checkpoint, this.#port.keepAbove())));
    if (start === undefined) return;
    this.#recent = this.#recent.slice(keepFrom);
    this.#pump.step({ type: "trim", start });
    settings.wal.trim(settings.group, start.index);
  }
}
