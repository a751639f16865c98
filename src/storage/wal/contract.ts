/** The write-ahead log as its users see it: one a node, shared by all its groups. Implemented by `wal.ts`. */
import type { GroupId, LogIndex } from "../../base/ids.ts";
import type { LogRecord } from "../../consensus/contract/record.ts";

export interface WriteAheadLog {
  /** Adds records to the open batch. Order is kept. Nothing is written before `flush`. */
  append(group: GroupId, records: readonly LogRecord[]): void;
  /**
   * Makes everything appended so far durable with one write and one fdatasync. While one is under way the next batch
   * gathers, and then goes at once. While the disk is full the promise stays open and the batch is tried again. Rejects
   * with DISK_FAILED (latched: every later call rejects; the process must stop), or when the log is closed.
   */
  flush(): Promise<void>;
  /** Entries of the group up to `upTo` are no longer needed: segments that hold nothing else are recycled. */
  trim(group: GroupId, upTo: LogIndex): void;
  /** Age of the oldest write that is not yet durable, 0 if none: for the disk watchdog. */
  oldestOpenMs(): number;
  /** False while free space is under the reserve. Sticky records are still accepted then. */
  readonly hasRoom: boolean;
  /** True while a segment with damaged records is still there: it would be found again at the next start. */
  readonly isDamaged: boolean;
  readonly stats: WalStats;
  close(): Promise<void>;
}

/** What a group whose records are slots needs besides: an acceptor of Paxos. */
export interface SlotLog extends WriteAheadLog {
  /**
   * The group misses nothing any more of what damage that names no record may have cost it. Until it says so, the segments
   * with such damage stay, whatever is trimmed: the lost record may have been at any slot, so no trim proves it harmless.
   * A group of which the log has kept no slot at all is not waited for: such a one must not trim before it is repaired.
   */
  repaired(group: GroupId): void;
}

export interface WalStats {
  readonly segments: number;
  readonly bytes: number;
  readonly flushes: number;
  readonly recycled: number;
  readonly lastFlushMs: number;
}

/** A part of the log that held acknowledged data and cannot be read. */
export interface WalDamage {
  readonly segment: string;
  readonly offset: number;
  readonly why: string;
  /** How many records are missing here. */
  readonly records: number;
  /** Nobody knows how many, since a file was cut short or removed: `records` is the most that can have stood there. */
  readonly isAtMost?: true;
  /** The entry, when the header is intact. */
  readonly record:
    | { readonly group: GroupId; readonly kind: number; readonly index: LogIndex; readonly term: number }
    | undefined;
}

export interface WalRecovery {
  /**
   * Intact records per group, in the order in which they were appended; of slots only the newest of each. A slot whose newest
   * record is damaged has none here: an older one must not pass for what was accepted last.
   */
  readonly groups: ReadonlyMap<GroupId, readonly LogRecord[]>;
  /** Bytes of a last write that never became durable, cut off. */
  readonly tornBytes: number;
  /** Not empty: acknowledged records are missing; see reference PAR (FAST'18). Never silently shortened. */
  readonly damage: readonly WalDamage[];
}
