/** The replicated state of the store beside keys and leases, and its bytes. */
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import type { AlarmMember } from "./messages.ts";

export interface StoreState {
  readonly revision: number;
  readonly compactRevision: number;
  /** The highest member id ever drawn: ids are not given out twice. */
  readonly lastMemberId: number;
  /** Sorted by alarm, then member. */
  readonly alarms: readonly AlarmMember[];
}

const VERSION = 1;

/** Equal states give equal bytes. */
export function encodeState(state: StoreState): Uint8Array {
  const out = new ByteWriter()
    .u8(VERSION)
    .u53(state.revision)
    .u53(state.compactRevision + 1);
  out.u53(state.lastMemberId).varint(state.alarms.length);
  for (const { alarm, memberId } of state.alarms) out.varint(alarm).u64(memberId);
  return out.finish();
}

/** Throws `BytesError` on anything but what `encodeState` wrote. */
export function decodeState(bytes: Uint8Array): StoreState {
  const input = new ByteReader(bytes);
  if (input.u8() !== VERSION) throw new BytesError("unknown version of the store's state");
  const revision = input.u53();
  const compactRevision = input.u53() - 1; // from −1: never compacted
  const lastMemberId = input.u53();
  const alarms: AlarmMember[] = [];
  for (let left = input.varint(); left > 0; left--) {
    const alarm = input.varint();
    alarms.push({ alarm, memberId: input.u64() });
  }
  input.end();
  return { revision, compactRevision, lastMemberId, alarms };
}

/** Which members raised which alarms. */
export class AlarmTable {
  #alarms: readonly AlarmMember[] = [];

  get all(): readonly AlarmMember[] {
    return this.#alarms;
  }

  has(alarm: number): boolean {
    return this.#alarms.some((one) => one.alarm === alarm);
  }

  /** True if it was not raised before. */
  raise(alarm: number, memberId: bigint): boolean {
    if (this.#alarms.some((one) => one.alarm === alarm && one.memberId === memberId)) return false;
    this.#alarms = [...this.#alarms, { alarm, memberId }].sort((a, b) =>
      a.alarm === b.alarm ? (a.memberId < b.memberId ? -1 : 1) : a.alarm - b.alarm,
    );
    return true;
  }

  /** True if it was raised. */
  clear(alarm: number, memberId: bigint): boolean {
    const rest = this.#alarms.filter((one) => one.alarm !== alarm || one.memberId !== memberId);
    const cleared = rest.length < this.#alarms.length;
    this.#alarms = rest;
    return cleared;
  }

  reset(alarms: readonly AlarmMember[]): void {
    this.#alarms = alarms;
  }
}
