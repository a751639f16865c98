/**
 * A record as recovery gives it back. A log of small records has millions of them, and most are below a checkpoint, where
 * nobody asks for the body: its view of the segment's bytes is made when it is read. Half of the memory and of the garbage
 * collector's work were views.
 */
import { type LogIndex, logIndex, type Term, term } from "../../base/ids.ts";
import type { LogRecord } from "../../consensus/contract/record.ts";
import type { RecordHeader } from "./record-header.ts";

export class RecoveredRecord implements LogRecord {
  readonly kind: LogRecord["kind"];
  readonly index: LogIndex;
  readonly term: Term;
  readonly chain: number;
  readonly bodyCrc: number;
  readonly #segment: Uint8Array;
  readonly #from: number;
  readonly #length: number;

  /** The body stands in `segment` at `from`; of a damaged record less than its header says may be there. */
  constructor(header: RecordHeader, segment: Uint8Array, from: number) {
    this.kind = header.kind as LogRecord["kind"]; // what was appended; a kind of a later version passes through unchanged
    this.index = logIndex(header.index);
    this.term = term(header.term);
    this.chain = header.chain;
    this.bodyCrc = header.bodyCrc;
    this.#segment = segment;
    this.#from = from;
    this.#length = header.bodyLength;
  }

  /** A view of the whole segment's memory, which lives as long as the view does. */
  get body(): Uint8Array {
    return this.#segment.subarray(this.#from, this.#from + this.#length);
  }
}
