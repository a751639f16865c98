/**
 * What a log must give back, kept beside it: everything appended, in order, and how much of that was acknowledged.
 *
 * O1. What comes back is what was appended, in that order, up to a point at or behind all that was acknowledged; of that only
 *     what a later record replaces, or a trim gave up, may be missing.
 * O2. What is missing otherwise is reported as damage, and damage is reported only where something was damaged. Excused is
 *     the tail that the log itself leaves undecided (R3 of `recovered-log.ts`): acknowledged, and damaged before a note could
 *     say that it was durable.
 */
import { assert } from "../../../src/base/assert.ts";
import { type GroupId, groupId, logIndex, term } from "../../../src/base/ids.ts";
import { isEntry, isSlot, isSticky, type LogRecord, type RecordKind } from "../../../src/consensus/contract/record.ts";
import { crc32 } from "../../../src/sim/sim-kernels.ts";
import type { WalRecovery } from "../../../src/storage/wal/contract.ts";

/** Groups whose records are entries, and groups whose records are slots. */
export const entryGroups: readonly GroupId[] = [groupId(1), groupId(2), groupId(3)];
export const slotGroups: readonly GroupId[] = [groupId(4), groupId(5)];
export const walGroups: readonly GroupId[] = [...entryGroups, ...slotGroups];

/** A log that rests for so long has told the disk how far it is durable. */
const NOTED_AFTER_MS = 300;

interface Appended {
  readonly group: GroupId;
  readonly record: LogRecord;
  ackedMs: number;
}

export class WalOracle {
  readonly #mayDamage: boolean;
  #appended: Appended[] = [];
  #acknowledged = 0;
  readonly #trims = new Map<GroupId, number>();
  /** When the node was last seen alive. */
  #aliveMs = 0;
  #made = 0;
  recoveries = 0;
  torn = 0;
  damaged = 0;

  /** `mayDamage`: bits of the disk may flip in this run. */
  constructor(options: { readonly mayDamage: boolean }) {
    this.#mayDamage = options.mayDamage;
  }

  /** How many records were appended: a flush that begins now and succeeds makes them durable. */
  get position(): number {
    return this.#appended.length;
  }

  trimOf(group: GroupId): number {
    return this.#trims.get(group) ?? 0;
  }

  append(group: GroupId, kind: RecordKind, index: number, bytes: number): LogRecord {
    const body = new Uint8Array(bytes);
    const mark = ++this.#made;
    for (let i = 0; i < bytes; i++) body[i] = (mark * 31 + i * 7) & 0xff;
    const place = { index: logIndex(index), term: term(1) };
    const record: LogRecord = { kind, ...place, chain: mark, body, bodyCrc: crc32(body) };
    this.#appended.push({ group, record, ackedMs: Number.POSITIVE_INFINITY });
    return record;
  }

  acknowledge(upTo: number, nowMs: number): void {
    for (let at = this.#acknowledged; at < upTo; at++) {
      const here = this.#appended[at];
      if (here !== undefined) here.ackedMs = nowMs;
    }
    this.#acknowledged = Math.max(this.#acknowledged, upTo);
  }

  alive(nowMs: number): void {
    this.#aliveMs = nowMs;
  }

  trim(group: GroupId, upTo: number): void {
    this.#trims.set(group, Math.max(upTo, this.trimOf(group)));
  }

  /** The highest acknowledged index of a group, its trim at least. */
  durableIndex(group: GroupId): number {
    let highest = this.trimOf(group);
    for (let at = this.#acknowledged - 1; at >= 0; at--) {
      const here = this.#appended[at];
      if (here?.group !== group || isSticky(here.record.kind)) continue;
      if (isEntry(here.record.kind)) return Math.max(highest, here.record.index); // it replaced all above
      highest = Math.max(highest, here.record.index);
    }
    return highest;
  }

  /** Checks what a start has found (O1, O2), and goes on from there. */
  check(recovery: WalRecovery): void {
    this.recoveries++;
    if (recovery.tornBytes > 0) this.torn++;
    const { damage } = recovery;
    assert(this.#mayDamage || damage.length === 0, "O2: no damage where nothing was damaged", damage);
    const present = this.#present(recovery);
    let end = this.#acknowledged;
    for (const at of present) end = Math.max(end, at + 1);
    const missing: Appended[] = [];
    for (let at = 0; at < end; at++) {
      const here = this.#appended[at];
      if (here !== undefined && !present.has(at) && !this.#isReplaced(here, this.#appended.slice(at + 1, end))) {
        missing.push(here);
      }
    }
    if (damage.length > 0) this.damaged++;
    if (this.#mayDamage) {
      const reported = damage.reduce((sum, { records }) => sum + records, 0);
      const noted = missing.filter(({ ackedMs }) => ackedMs + NOTED_AFTER_MS < this.#aliveMs);
      assert(noted.length <= reported, "O2: everything that is missing is reported", { noted, damage, end });
    } else {
      assert(missing.length === 0, "O1: an acknowledged record is recovered", { missing, end, of: this.#acknowledged });
    }
    this.#keep(this.#appended.slice(0, end).map((here, at) => ({ here, isPresent: present.has(at) })));
    this.#acknowledged = this.#appended.length;
    for (const here of this.#appended) here.ackedMs = Math.min(here.ackedMs, this.#aliveMs);
  }

  /** Positions of what came back; each must be what was appended, in order. */
  #present(recovery: WalRecovery): ReadonlySet<number> {
    const positions = new Map(this.#appended.map(({ record }, at) => [record.chain, at]));
    const present = new Set<number>();
    for (const [group, records] of recovery.groups) {
      const before = new Map<number, number>();
      for (const record of records) {
        const at = positions.get(record.chain);
        const original = at === undefined ? undefined : this.#appended[at];
        assert(at !== undefined && original !== undefined, "O1: nothing comes back that was never appended", {
          group,
          kind: record.kind,
          index: record.index,
        });
        assert(original.group === group && isSame(original.record, record), "O1: a record comes back as it was", {
          group,
          kind: record.kind,
          index: record.index,
        });
        // Entries have one order, each kind of sticky record its own, slots none. A batch that found no space half-way is
        // written again as a whole: what is there already, or was there and is trimmed, may come again.
        const line = isEntry(record.kind) ? 0 : record.kind;
        const isAgain = present.has(at) || isSlot(record.kind) || (line === 0 && record.index <= this.trimOf(group));
        assert(at > (before.get(line) ?? -1) || isAgain, "O1: records come back in the order of their appending", {
          group,
          at,
          before: before.get(line),
        });
        before.set(line, at);
        present.add(at);
      }
    }
    return present;
  }

  /** Goes on with what is there; what was replaced by something that is lost is lost with it. */
  #keep(found: readonly { readonly here: Appended; readonly isPresent: boolean }[]): void {
    const kept: Appended[] = [];
    for (const { here, isPresent } of found.toReversed()) {
      if (isPresent || this.#isReplaced(here, kept)) kept.push(here);
    }
    this.#appended = kept.reverse();
  }

  /** May a record be missing without a word, given others that came later? */
  #isReplaced({ group, record }: Appended, later: readonly Appended[]): boolean {
    const { kind, index } = record;
    if (!isSticky(kind) && index <= this.trimOf(group)) return true;
    return later.some((other) => {
      if (other.group !== group) return false;
      if (isSticky(kind)) return other.record.kind === kind;
      if (isEntry(kind)) return isEntry(other.record.kind) && other.record.index <= index;
      return isSlot(kind) && isSlot(other.record.kind) && other.record.index === index;
    });
  }
}

function isSame(a: LogRecord, b: LogRecord): boolean {
  if (a.kind !== b.kind || a.index !== b.index || a.term !== b.term || a.bodyCrc !== b.bodyCrc) return false;
  return a.body.length === b.body.length && a.body.every((byte, i) => byte === b.body[i]);
}
