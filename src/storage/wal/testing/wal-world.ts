/** A log on a crash disk, with records that can be told apart. */
import { assert } from "../../../base/assert.ts";
import { type GroupId, groupId, logIndex, term } from "../../../base/ids.ts";
import type { LogRecord, RecordKind } from "../../../consensus/contract/record.ts";
import type { Kernels } from "../../../ports/kernels.ts";
import type { ObservedEvent } from "../../../ports/observer.ts";
import type { WalRecovery } from "../contract.ts";
import { Wal } from "../wal.ts";
import { CrashDisk } from "./crash-disk.ts";
import { ManualClock } from "./manual-clock.ts";

export const FOLDER = "wal";

/** Lets everything happen that needs no clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 400; i++) await Promise.resolve();
}

export class WalWorld {
  readonly kernels: Kernels;
  disk: CrashDisk = new CrashDisk();
  clock: ManualClock = new ManualClock();
  readonly events: ObservedEvent[] = [];
  segmentBytes: number = 8_192;
  diskReserveBytes: number = 0;
  #wal: Wal | undefined;
  #made = 0;

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  get wal(): Wal {
    assert(this.#wal !== undefined, "the log is open");
    return this.#wal;
  }

  /** Opens the log as after a start of the process, with a new clock. */
  async open(): Promise<WalRecovery> {
    this.clock = new ManualClock();
    const { wal, recovery } = await Wal.open(
      {
        disk: this.disk.boot(),
        kernels: this.kernels,
        clock: this.clock,
        observer: { observe: (event) => void this.events.push(event) },
      },
      { folder: FOLDER, segmentBytes: this.segmentBytes, diskReserveBytes: this.diskReserveBytes },
    );
    this.#wal = wal;
    return recovery;
  }

  /** A record whose body differs from every other one's. */
  record(kind: RecordKind, index: number, bodyBytes: number, recordTerm: number = 1): LogRecord {
    const body = new Uint8Array(bodyBytes);
    const seed = ++this.#made;
    for (let i = 0; i < bodyBytes; i++) body[i] = (Math.imul(seed + i * 31, 0x9e3779b1) >>> 13) & 0xff;
    for (let i = 0; i < Math.min(4, bodyBytes); i++) body[i] = (seed >>> (8 * i)) & 0xff;
    return {
      kind,
      index: logIndex(index),
      term: term(recordTerm),
      chain: seed,
      body,
      bodyCrc: this.kernels.crc32(body),
    };
  }

  async write(group: GroupId, ...records: readonly LogRecord[]): Promise<void> {
    this.wal.append(group, records);
    await this.wal.flush();
  }
}

export const GROUP_A: GroupId = groupId(1);
export const GROUP_B: GroupId = groupId(2);

/** Two records are the same in every field. */
export function isSame(a: LogRecord, b: LogRecord): boolean {
  return (
    a.kind === b.kind &&
    a.index === b.index &&
    a.term === b.term &&
    a.chain === b.chain &&
    a.bodyCrc === b.bodyCrc &&
    a.body.length === b.body.length &&
    a.body.every((byte, i) => byte === b.body[i])
  );
}
