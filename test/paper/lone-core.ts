/**
 * One core by itself, driven frame by frame: for the rules of the paper that speak of a single server. The log it starts
 * from is given as the terms of its entries; its disk finishes when told.
 */
import { crc32 } from "node:zlib";
import { assert } from "../../src/base/assert.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { logIndex, type NodeId, nodeId, term } from "../../src/base/ids.ts";
import type { Configuration } from "../../src/consensus/contract/configuration.ts";
import type { ConsensusCore, CoreFactory, Effects, Input } from "../../src/consensus/contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import {
  type AppendRequest,
  decodeRaftMessage,
  encodeRaftMessage,
  type RaftMessage,
} from "../../src/consensus/raft/messages.ts";
import { defaultTunables } from "../scenario/cluster.ts";
import { member } from "../scenario/script.ts";

export interface Answer {
  readonly to: NodeId;
  readonly message: RaftMessage;
}

/** Entries whose terms are given, each with a body of its own; `from` is the index of the first. */
export function entriesOf(
  terms: readonly number[],
  after: { index: number; chain: number } = { index: 0, chain: 0 },
): LogRecord[] {
  let { chain } = after;
  return terms.map((entryTerm, i) => {
    const body = utf8(`${after.index + i + 1}@${entryTerm}`);
    const bodyCrc = crc32(body);
    chain = chainHash(chain, entryTerm, bodyCrc);
    return {
      kind: RecordKind.command,
      index: logIndex(after.index + i + 1),
      term: term(entryTerm),
      chain,
      body,
      bodyCrc,
    };
  });
}

/** Node 1 of `nodes` voters, restarted with the given log in the given term, having voted for nobody in it. */
export class LoneCore {
  readonly core: ConsensusCore;
  nowMs = 0;
  /** Open tickets, oldest first. */
  readonly open: number[] = [];
  readonly written: LogRecord[] = [];
  last: Effects | undefined;

  constructor(
    factory: CoreFactory,
    options: {
      readonly nodes?: number;
      readonly log?: readonly number[];
      readonly term?: number;
      /** A vote of this term was durable and cannot be read; the log is complete. */
      readonly lostVoteTerm?: number;
      readonly random?: () => number;
      readonly configuration?: Configuration;
    } = {},
  ) {
    const founders = Array.from({ length: options.nodes ?? 3 }, (_, i) => member(nodeId(i + 1)));
    const body = new Uint8Array([0]);
    const entries = entriesOf(options.log ?? []);
    const vote: LogRecord = {
      kind: RecordKind.vote,
      index: logIndex(0),
      term: term(options.term ?? Math.max(0, ...(options.log ?? []))),
      chain: 0,
      body,
      bodyCrc: crc32(body),
    };
    this.core = factory(
      { ...defaultTunables, id: nodeId(1), priority: 0, crc32, random: options.random ?? ((): number => 0) },
      {
        start: {
          index: logIndex(0),
          term: term(0),
          chain: 0,
          configuration: options.configuration ?? { members: founders, outgoing: [] },
        },
        records: [vote, ...entries],
        damagedUpTo: undefined,
        lostVoteTerm: options.lostVoteTerm === undefined ? undefined : term(options.lostVoteTerm),
      },
      0,
    );
  }

  step(input: Input): Effects {
    const effects = this.core.step(input, this.nowMs);
    this.last = effects;
    if (effects.persist !== undefined) {
      this.open.push(effects.persist.ticket);
      this.written.push(...effects.persist.records);
    }
    return effects;
  }

  /** Hands in a message and finishes every write; returns all that the core sends meanwhile. */
  ask(from: number, message: RaftMessage): readonly Answer[] {
    const sent = [...this.hear(from, message)];
    while (this.open.length > 0) sent.push(...this.sync());
    return sent;
  }

  /** Hands in a message; the disk finishes nothing. */
  hear(from: number, message: RaftMessage): readonly Answer[] {
    return answers(this.step({ type: "message", from: nodeId(from), frame: encodeRaftMessage(message) }));
  }

  /** Finishes the oldest write. */
  sync(): readonly Answer[] {
    const ticket = this.open.shift();
    assert(ticket !== undefined, "an open write");
    return answers(this.step({ type: "durable", ticket }));
  }

  /** Lets the clock go to the core's deadline and ticks. */
  lapse(): readonly Answer[] {
    this.nowMs = Math.max(this.nowMs, this.core.deadlineMs);
    return answers(this.step({ type: "tick" }));
  }

  /** The log as terms. */
  get terms(): readonly number[] {
    const { last } = this.core.status();
    return Array.from({ length: last }, (_, i) => this.core.startAt(logIndex(i + 1))?.term ?? -1);
  }
}

function answers(effects: Effects): readonly Answer[] {
  return effects.send.map(({ to, frame }) => ({ to, message: decodeRaftMessage(frame) }));
}

export function voteRequest(options: {
  term: number;
  lastIndex: number;
  lastTerm: number;
  pre?: boolean;
}): RaftMessage {
  return {
    type: "vote",
    term: term(options.term),
    pre: options.pre ?? false,
    transfer: false,
    lastIndex: logIndex(options.lastIndex),
    lastTerm: term(options.lastTerm),
    boundTo: 0,
  };
}

/** An append of a leader whose whole log has these terms, from after `previous` on. */
export function appendOf(options: {
  readonly term: number;
  readonly leaderLog: readonly number[];
  readonly previous: number;
  readonly count?: number;
  readonly commit?: number;
}): AppendRequest {
  const all = entriesOf(options.leaderLog);
  const entries = all.slice(options.previous, options.previous + (options.count ?? all.length));
  return {
    type: "append",
    term: term(options.term),
    round: 1,
    previousIndex: logIndex(options.previous),
    previousTerm: term(options.leaderLog[options.previous - 1] ?? 0),
    commit: logIndex(options.commit ?? 0),
    entries,
  };
}
