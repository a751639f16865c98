/**
 * A replica's log in memory: the entries after `start`, and the configurations among them.
 * Owns    index arithmetic, conflict search, truncation, trimming; which configuration is in force.
 * Leaves  durability to the caller: everything here may be ahead of the disk.
 *
 * L1. Indexes are consecutive from `start.index + 1`; terms never fall.
 * L2. Each entry's chain follows from the one before it (`chainHash`): equal chains are equal logs.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type Term } from "../../base/ids.ts";
import { type Configuration, decodeConfiguration } from "../contract/configuration.ts";
import type { LogStart } from "../contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../contract/record.ts";

interface PlacedConfiguration {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

export class RaftLog {
  #start: LogStart;
  #entries: LogRecord[] = [];
  /** Those of entries still in the log, oldest first. */
  #configurations: PlacedConfiguration[] = [];

  constructor(start: LogStart) {
    this.#start = start;
  }

  get start(): LogStart {
    return this.#start;
  }

  get firstIndex(): LogIndex {
    return logIndex(this.#start.index + 1);
  }

  get lastIndex(): LogIndex {
    return logIndex(this.#start.index + this.#entries.length);
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#start.term;
  }

  get lastChain(): number {
    return this.#entries.at(-1)?.chain ?? this.#start.chain;
  }

  /** The newest configuration, committed or not: it counts from append. */
  get configuration(): Configuration {
    return this.#configurations.at(-1)?.configuration ?? this.#start.configuration;
  }

  get configurationIndex(): LogIndex {
    return this.#configurations.at(-1)?.index ?? this.#start.index;
  }

  entry(index: LogIndex): LogRecord | undefined {
    return this.#entries[index - this.#start.index - 1];
  }

  /** Undefined below the start and above the end. */
  termAt(index: LogIndex): Term | undefined {
    return index === this.#start.index ? this.#start.term : this.entry(index)?.term;
  }

  chainAt(index: LogIndex): number | undefined {
    return index === this.#start.index ? this.#start.chain : this.entry(index)?.chain;
  }

  configurationAt(index: LogIndex): Configuration {
    for (let i = this.#configurations.length - 1; i >= 0; i--) {
      const placed = this.#configurations[i];
      if (placed !== undefined && placed.index <= index) return placed.configuration;
    }
    return this.#start.configuration;
  }

  startAt(index: LogIndex): LogStart | undefined {
    const termThere = this.termAt(index);
    const chain = this.chainAt(index);
    if (termThere === undefined || chain === undefined) return undefined;
    return { index, term: termThere, chain, configuration: this.configurationAt(index) };
  }

  /** Entries [from, to], but no more than `bytesMax` of bodies (one entry always). */
  slice(from: LogIndex, to: LogIndex, bytesMax: number): readonly LogRecord[] {
    const out: LogRecord[] = [];
    let bytes = 0;
    for (let index = from; index <= to; index = logIndex(index + 1)) {
      const entry = this.entry(index);
      assert(entry !== undefined, "slice inside the log", { from, to, start: this.#start.index });
      bytes += entry.body.length;
      if (out.length > 0 && bytes > bytesMax) break;
      out.push(entry);
    }
    return out;
  }

  /** A new entry at the end, in the given term. */
  make(options: { kind: RecordKind; term: Term; body: Uint8Array; bodyCrc: number }): LogRecord {
    const chain = chainHash(this.lastChain, options.term, options.bodyCrc);
    const entry: LogRecord = { ...options, index: logIndex(this.lastIndex + 1), chain };
    this.push(entry);
    return entry;
  }

  push(entry: LogRecord): void {
    assert(entry.index === this.lastIndex + 1, "L1: consecutive indexes", { index: entry.index, last: this.lastIndex });
    assert(entry.term >= this.lastTerm, "L1: terms never fall", { term: entry.term, last: this.lastTerm });
    assert(entry.chain === chainHash(this.lastChain, entry.term, entry.bodyCrc), "L2: the chain holds", {
      index: entry.index,
      term: entry.term,
    });
    this.#entries.push(entry);
    if (entry.kind === RecordKind.configuration) {
      this.#configurations.push({ index: entry.index, configuration: decodeConfiguration(entry.body) });
    }
  }

  /** Cuts off `from` and everything above it. */
  truncate(from: LogIndex): void {
    assert(from > this.#start.index, "truncation above the start", { from, start: this.#start.index });
    this.#entries.length = from - this.#start.index - 1;
    while ((this.#configurations.at(-1)?.index ?? 0) >= from) this.#configurations.pop();
  }

  /** Forgets everything up to `start.index`, which must be in the log. */
  trim(start: LogStart): void {
    if (start.index <= this.#start.index) return;
    assert(this.chainAt(start.index) === start.chain, "a trim point lies on this log", { index: start.index });
    this.#entries.splice(0, start.index - this.#start.index);
    this.#configurations = this.#configurations.filter((c) => c.index > start.index);
    this.#start = start;
  }

  /** Forgets everything: the log begins after `start`. */
  reset(start: LogStart): void {
    this.#start = start;
    this.#entries = [];
    this.#configurations = [];
  }

  /**
   * The largest index up to `index` whose term is at most `maxTerm`: where a leader and a follower that disagree may still
   * agree (the accelerated backtracking of Ongaro 2014, section 3.5).
   */
  lastIndexWithTermAtMost(index: LogIndex, maxTerm: Term): LogIndex {
    let at = Math.min(index, this.lastIndex);
    while (at > this.#start.index && (this.termAt(logIndex(at)) ?? 0) > maxTerm) at--;
    return logIndex(Math.max(at, this.#start.index));
  }
}
