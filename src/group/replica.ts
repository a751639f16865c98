/**
 * The applied side of a group on one node: the state machine, the sessions, and the point of the log they stand at.
 * Owns    applying committed entries in order, and the `meta` that goes with every checkpoint and snapshot.
 * Leaves  when to apply and when to checkpoint to `group.ts`.
 *
 * A1. State, sessions and applied point move together and are saved together (bug class 12 of reference/consensus.md).
 */
import { assert } from "../base/assert.ts";
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import { type LogIndex, logIndex, nodeId, type SessionId, term } from "../base/ids.ts";
import { decodeConfiguration, encodeConfiguration } from "../consensus/contract/configuration.ts";
import type { LogStart } from "../consensus/contract/core.ts";
import { type LogRecord, RecordKind } from "../consensus/contract/record.ts";
import { decodeParts } from "./batch.ts";
import type { PeerAddress } from "./peer-address.ts";
import { Sessions } from "./sessions.ts";
import type { StateMachine } from "./state-machine.ts";

/** What the handle on this node wants to know about the commands that it proposed itself. */
export interface ReplicaListener<Result> {
  sessionOpened(nonce: number, session: SessionId, index: LogIndex): void;
  executed(session: SessionId, sequence: number, index: LogIndex, result: Result): void;
  /** A batch whose first command is not the next one: nothing of it was executed. */
  outOfSequence(session: SessionId, expected: number): void;
  noSession(session: SessionId): void;
}

/** 2: with the addresses of voters that a joint configuration leaves; written only when there are some. */
const META_VERSION_MAX = 2;

/** What a meta says beside the sessions. */
export interface MetaHead {
  readonly start: LogStart;
  /** Where the voters are that the configuration in force leaves: it names them by id only. */
  readonly leaving: readonly PeerAddress[];
}

export function encodeStart(out: ByteWriter, start: LogStart): void {
  out.varint(start.index).varint(start.term).u32(start.chain).bytes(encodeConfiguration(start.configuration));
}

export function decodeStart(input: ByteReader): LogStart {
  const index = logIndex(input.varint());
  const startTerm = term(input.varint());
  const chain = input.u32();
  return { index, term: startTerm, chain, configuration: decodeConfiguration(input.bytes()) };
}

export class Replica<Result, Query, Answer> {
  readonly machine: StateMachine<Result, Query, Answer>;
  readonly sessions: Sessions<Result>;
  readonly #listener: ReplicaListener<Result>;
  #applied: LogIndex = logIndex(0);

  constructor(
    machine: StateMachine<Result, Query, Answer>,
    options: { readonly sessionsMax: number; readonly listener: ReplicaListener<Result> },
  ) {
    this.machine = machine;
    this.sessions = new Sessions(options.sessionsMax);
    this.#listener = options.listener;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  /** Applies the next committed entry. An exception stops the node: it would repeat on every replica. */
  apply(entry: LogRecord): void {
    assert(entry.index === this.#applied + 1, "entries are applied in order, each once", {
      index: entry.index,
      applied: this.#applied,
    });
    this.#applied = entry.index;
    if (entry.kind === RecordKind.command) this.#applyCommands(entry);
    this.machine.entryApplied?.(entry.index);
  }

  #applyCommands(entry: LogRecord): void {
    const { index } = entry;
    for (const part of decodeParts(entry.body)) {
      if (part.type === "open-session") {
        this.#listener.sessionOpened(part.nonce, this.sessions.open(index), index);
        continue;
      }
      const { session } = part;
      this.sessions.touch(session, index, part.resultsBelow);
      let sequence = part.first;
      for (const command of part.commands) {
        const check = this.sessions.check(session, sequence);
        if (check === "next") {
          const result = this.machine.apply(command, { index, term: entry.term, session, sequence });
          this.sessions.record(session, result);
          this.#listener.executed(session, sequence, index, result);
        } else if (check === "gap") {
          this.#listener.outOfSequence(session, this.sessions.last(session) + 1); // S1
          break;
        } else if (check === "no-session") {
          this.#listener.noSession(session); // S3
          break;
        }
        sequence++;
      }
    }
  }

  /** Everything besides the machine's own state, as of the applied point, which `start` describes. */
  encodeMeta(start: LogStart, leaving: readonly PeerAddress[] = []): Uint8Array {
    assert(start.index === this.#applied, "A1: a checkpoint is taken at the applied point", { start: start.index });
    const out = new ByteWriter(1024).u8(leaving.length === 0 ? 1 : 2);
    encodeStart(out, start);
    if (leaving.length > 0) {
      out.varint(leaving.length);
      for (const { id, address, incarnation } of leaving) out.varint(id).text(address).u53(incarnation);
    }
    return out.bytes(this.sessions.encode(this.machine.results)).finish();
  }

  /** Takes over the meta of a checkpoint or snapshot whose state the machine already has. Throws `BytesError`. */
  restoreMeta(meta: Uint8Array): MetaHead {
    const input = new ByteReader(meta);
    const head = decodeHead(input);
    this.sessions.restore(input.bytes(), this.machine.results);
    input.end();
    this.#applied = head.start.index;
    return head;
  }
}

/** The start that a meta describes, without taking it over. Throws `BytesError`. */
export function startOfMeta(meta: Uint8Array): LogStart {
  return decodeHead(new ByteReader(meta)).start;
}

function decodeHead(input: ByteReader): MetaHead {
  const version = input.u8();
  if (version === 0 || version > META_VERSION_MAX) throw new BytesError("unknown version of a checkpoint");
  const start = decodeStart(input);
  const leaving: PeerAddress[] = [];
  for (let left = version === 1 ? 0 : input.varint(); left > 0; left--) {
    const id = input.varint();
    if (id === 0) throw new BytesError("a voter without an id");
    leaving.push({ id: nodeId(id), address: input.text(), incarnation: input.u53() });
  }
  return { start, leaving };
}
