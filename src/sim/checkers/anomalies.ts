/**
 * The names of what can go wrong between transactions, and which isolation level each one rules out.
 * Source  Adya 1999, chapter 3 and 4 (G0, G1a–c, G-single, G2-item by level); Berenson et al. 1995 (lost update); Cerone &
 *         Gotsman 2016 (snapshot isolation allows only cycles with two anti-dependencies in a row); Kingsbury & Alvaro
 *         2020, section 6 (the direct anomalies, session and real-time variants).
 */

/** From weakest to strongest. Snapshot isolation is what PostgreSQL calls REPEATABLE READ. */
export const levels = [
  "read-uncommitted",
  "read-committed",
  "snapshot-isolation",
  "serializable",
  "strict-serializable",
] as const;
export type Level = (typeof levels)[number];

const meanings = {
  "duplicate-elements": "one append shows twice in a list",
  "garbage-read": "a value was read that nobody wrote",
  G0: "writes of transactions are interleaved: a cycle of overwrites",
  G1a: "a committed transaction read what an aborted one wrote",
  G1b: "a transaction read a value that its writer went on to replace",
  G1c: "transactions saw each other's effects in a circle",
  "dirty-update": "a committed write builds on that of an aborted transaction",
  "incompatible-order": "two reads of one list, or a read and a writer, disagree on its order",
  internal: "a transaction did not see its own writes, or saw a key change under it",
  "lost-update": "two transactions read one version of a key, and both replaced it",
  "G-single": "a transaction saw part of another's effects: a cycle with one missed write",
  "G-nonadjacent": "a cycle with several missed writes, no two of them in a row",
  "G2-item": "transactions missed each other's writes (write skew)",
  "cyclic-versions": "the stated order of versions of one key is circular",
  "G0-process": "G0, if each client's transactions take effect in its order",
  "G1c-process": "G1c, if each client's transactions take effect in its order",
  "G-single-process": "G-single, if each client's transactions take effect in its order",
  "G-nonadjacent-process": "G-nonadjacent, if each client's transactions take effect in its order",
  "G2-item-process": "G2-item, if each client's transactions take effect in its order",
  "G0-realtime": "G0, if a transaction takes effect before those that begin after its end",
  "G1c-realtime": "G1c, if a transaction takes effect before those that begin after its end",
  "G-single-realtime": "G-single, if a transaction takes effect before those that begin after its end",
  "G-nonadjacent-realtime": "G-nonadjacent, if a transaction takes effect before those that begin after its end",
  "G2-item-realtime": "G2-item, if a transaction takes effect before those that begin after its end",
} as const;
export type AnomalyName = keyof typeof meanings;

/** All names, from the gravest on. */
export const anomalyNames: readonly AnomalyName[] = Object.keys(meanings) as AnomalyName[]; // the keys of a constant

const weakestRuledOut: Readonly<Record<AnomalyName, Level>> = {
  "duplicate-elements": "read-uncommitted",
  "garbage-read": "read-uncommitted",
  G0: "read-uncommitted",
  G1a: "read-committed",
  G1b: "read-committed",
  G1c: "read-committed",
  "dirty-update": "read-committed",
  "incompatible-order": "read-committed",
  internal: "snapshot-isolation",
  "lost-update": "snapshot-isolation",
  "G-single": "snapshot-isolation",
  "G-nonadjacent": "snapshot-isolation",
  "G2-item": "serializable",
  "cyclic-versions": "strict-serializable",
  "G0-process": "strict-serializable",
  "G1c-process": "strict-serializable",
  "G-single-process": "strict-serializable",
  "G-nonadjacent-process": "strict-serializable",
  "G2-item-process": "strict-serializable",
  "G0-realtime": "strict-serializable",
  "G1c-realtime": "strict-serializable",
  "G-single-realtime": "strict-serializable",
  "G-nonadjacent-realtime": "strict-serializable",
  "G2-item-realtime": "strict-serializable",
};

/** What an anomaly is, in one line. */
export function meaningOf(name: AnomalyName): string {
  return meanings[name];
}

/** The weakest level that forbids an anomaly; all stronger ones do too. */
export function weakestLevelWithout(name: AnomalyName): Level {
  return weakestRuledOut[name];
}

/** Does a level forbid an anomaly? */
export function forbids(level: Level, name: AnomalyName): boolean {
  return levels.indexOf(level) >= levels.indexOf(weakestRuledOut[name]);
}

/** The strongest level that none of the anomalies rules out; undefined if not even the weakest is left. */
export function strongestLevelLeft(names: Iterable<AnomalyName>): Level | undefined {
  let left: readonly Level[] = levels;
  for (const name of names) left = left.filter((level) => !forbids(level, name));
  return left.at(-1);
}
