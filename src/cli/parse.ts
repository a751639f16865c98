/** Parsers of flag and argument texts. Each fails with commander's own error, which names the flag. */
import { InvalidArgumentError } from "commander";

/** A parser of whole numbers in [least, most]. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value) || value < least || value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`It must be a whole number ${range}.`);
    }
    return value;
  };
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `500ms`, `5s`, `2m`, `1h`; a bare number counts seconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const ms = match === null ? Number.NaN : Number(match[1]) * (unitMs[match[2] ?? "s"] ?? Number.NaN);
  if (!Number.isFinite(ms) || ms < 1) throw new InvalidArgumentError("It must be a duration like 500ms, 5s or 2m.");
  return Math.round(ms);
}

/** An id as etcd's tools print it, in hexadecimal, with or without `0x`. */
export function hexId(text: string): bigint {
  const match = /^(?:0x)?([0-9a-f]{1,16})$/i.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be an id in hexadecimal, as the list prints it.");
  return BigInt(`0x${match[1]}`);
}

/** 64-bit ids travel signed and are shown unsigned. */
export function showId(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** The least time in milliseconds that reads well: `950 ms`, `4.2 s`, `3 min`. */
export function showDuration(ms: number): string {
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

export function showBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
