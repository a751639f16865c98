/**
 * What a replica holds of every slot: accepted values, holes allowed, and above its start a prefix that is known to be chosen.
 * Source  Lamport 2001, section 3 (one instance a slot, carried out in order); the chain is ours.
 * Owns    slots, the chosen watermark, the chain over chosen values, and the configuration and era in force.
 * Leaves  who may accept what to `replica.ts`; durability, except that each slot names the ticket that wrote it.
 *
 * L1. A slot's value is final once the slot is chosen: nothing replaces it.
 * L2. Term and chain of an entry are made of chosen values in slot order and know no ballots of acceptances, so they are the
 *     same on every replica.
 * L3. The era of a slot is the era of the term of the entry before it: a chosen stop entry begins the next one.
 * L4. Terms never go back along the log: an entry's term is the highest origin up to it. A value that a leader lost and a
 *     later one found again, behind values of a leader between them, so carries the term of that one: whoever fences by
 *     term, as leases do, takes it for late, as it would be in Raft's log.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type Term } from "../../base/ids.ts";
import { type Configuration, decodeConfiguration } from "../contract/configuration.ts";
import type { LogStart } from "../contract/core.ts";
import { chainHash, type LogRecord } from "../contract/record.ts";
import { type Ballot, eraOf, NO_BALLOT } from "./ballot.ts";
import { kindOf, type SlotValue, ValueTag } from "./value.ts";

export interface Slot {
  readonly ballot: Ballot;
  readonly value: SlotValue;
  /** The ticket of the write that holds it; 0: read from the disk. */
  readonly ticket: number;
  /** Set when chosen: L2, L4. */
  chain: number;
  term: Term;
}

interface PlacedConfiguration {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

export class PaxosLog {
  #start: LogStart;
  #slots: (Slot | undefined)[] = [];
  #chosen: LogIndex;
  #chain: number;
  #term: Term;
  #era: number;
  /** Those of chosen slots still in the log, oldest first. */
  #configurations: PlacedConfiguration[] = [];

  constructor(start: LogStart) {
    this.#start = start;
    this.#chosen = start.index;
    this.#chain = start.chain;
    this.#term = start.term;
    this.#era = eraOf(start.term);
  }

  get start(): LogStart {
    return this.#start;
  }

  get first(): LogIndex {
    return logIndex(this.#start.index + 1);
  }

  /** The highest slot that holds anything, or the start. */
  get last(): LogIndex {
    return logIndex(this.#start.index + this.#slots.length);
  }

  /** Every slot up to here is known to be chosen. */
  get chosen(): LogIndex {
    return this.#chosen;
  }

  get era(): number {
    return this.#era;
  }

  get configuration(): Configuration {
    return this.#configurations.at(-1)?.configuration ?? this.#start.configuration;
  }

  get configurationIndex(): LogIndex {
    return this.#configurations.at(-1)?.index ?? this.#start.index;
  }

  slot(index: LogIndex): Slot | undefined {
    return this.#slots[index - this.#start.index - 1];
  }

  put(index: LogIndex, ballot: Ballot, value: SlotValue, ticket: number): void {
    assert(index > this.#chosen, "L1: a chosen slot is final", { index, chosen: this.#chosen });
    const at = index - this.#start.index - 1;
    while (this.#slots.length < at) this.#slots.push(undefined);
    this.#slots[at] = { ballot, value, ticket, chain: 0, term: NO_BALLOT };
  }

  /** The next slot's value is known to be the chosen one. */
  choose(): Slot {
    const index = logIndex(this.#chosen + 1);
    const slot = this.slot(index);
    assert(slot !== undefined, "only what is held is known to be chosen", { index });
    const { value } = slot;
    assert(eraOf(value.origin) === this.#era + (value.tag === ValueTag.stop ? 1 : 0), "L3: a value of this era", {
      index,
      origin: value.origin,
      era: this.#era,
    });
    if (value.origin > this.#term) this.#term = value.origin;
    this.#chain = chainHash(this.#chain, this.#term, value.bodyCrc);
    slot.term = this.#term;
    slot.chain = this.#chain;
    this.#chosen = index;
    if (value.tag === ValueTag.stop) {
      this.#configurations.push({ index, configuration: decodeConfiguration(value.body) });
      this.#era++;
    }
    return slot;
  }

  /** A chosen entry as it is handed up. */
  entry(index: LogIndex): LogRecord {
    const slot = this.slot(index);
    assert(slot !== undefined && index <= this.#chosen, "a chosen entry in the log", { index, chosen: this.#chosen });
    const { tag, body, bodyCrc } = slot.value;
    return { kind: kindOf(tag), index, term: slot.term, chain: slot.chain, body, bodyCrc };
  }

  startAt(index: LogIndex): LogStart | undefined {
    if (index === this.#start.index) return this.#start;
    const slot = index <= this.#chosen ? this.slot(index) : undefined;
    if (slot === undefined) return undefined;
    return { index, term: slot.term, chain: slot.chain, configuration: this.#configurationAt(index) };
  }

  #configurationAt(index: LogIndex): Configuration {
    for (let i = this.#configurations.length - 1; i >= 0; i--) {
      const placed = this.#configurations[i];
      if (placed !== undefined && placed.index <= index) return placed.configuration;
    }
    return this.#start.configuration;
  }

  /** Forgets everything up to `start.index`, which must be chosen. */
  trim(start: LogStart): void {
    if (start.index <= this.#start.index) return;
    assert(this.startAt(start.index)?.chain === start.chain, "a trim point lies on the chosen log", {
      index: start.index,
    });
    this.#slots.splice(0, start.index - this.#start.index);
    this.#configurations = this.#configurations.filter((c) => c.index > start.index);
    this.#start = start;
  }

  /** A snapshot replaced everything up to `start.index`. What was accepted above stays: it may be acknowledged. */
  install(start: LogStart): void {
    assert(start.index > this.#chosen, "a snapshot goes forward", { index: start.index, chosen: this.#chosen });
    this.#slots.splice(0, start.index - this.#start.index);
    this.#configurations = [];
    this.#start = start;
    this.#chosen = start.index;
    this.#chain = start.chain;
    this.#term = start.term;
    this.#era = eraOf(start.term);
  }
}
