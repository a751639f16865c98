/** Questions from node to node and their answers: ids, deadlines, and failing what a broken connection has lost. */
import { AlthingError } from "../base/errors.ts";
import { AssertionError } from "../base/assert.ts";
import { BytesError, fromUtf8, utf8 } from "../base/bytes.ts";
import { Deferred } from "../base/deferred.ts";
import type { NodeId } from "../base/ids.ts";
import type { PeerFrame } from "./frames.ts";

interface OpenAsk {
  readonly to: NodeId;
  readonly answer: Deferred<Uint8Array>;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

export class Asks {
  readonly #send: (to: NodeId, frame: PeerFrame) => boolean;
  #open = new Map<number, OpenAsk>();
  #next = 1;

  constructor(send: (to: NodeId, frame: PeerFrame) => boolean) {
    this.#send = send;
  }

  ask(
    to: NodeId,
    question: Uint8Array,
    options: { readonly control: boolean; readonly deadlineMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<Uint8Array> {
    const id = this.#next++;
    const answer = new Deferred<Uint8Array>();
    if (!this.#send(to, { type: "ask", id, control: options.control, question })) {
      return Promise.reject(new AlthingError("UNREACHABLE", `Cannot ask node ${to}: it is not connected`));
    }
    this.#open.set(id, { to, answer, deadlineMs: options.deadlineMs, signal: options.signal });
    return answer.promise;
  }

  /** Answers a question of `from` with what `work` gives, or with its error. */
  reply(from: NodeId, id: number, work: Promise<Uint8Array>): void {
    work.then(
      (body) => this.#send(from, { type: "answer", id, ok: true, body }),
      (error: unknown) => {
        this.#send(from, { type: "answer", id, ok: false, body: encodeError(error) });
        if (error instanceof AssertionError) throw error; // a bug here is not the asker's: this node stops
      },
    );
  }

  answered(frame: Extract<PeerFrame, { type: "answer" }>): void {
    const open = this.#open.get(frame.id);
    if (open === undefined) return;
    this.#open.delete(frame.id);
    if (frame.ok) open.answer.resolve(frame.body.slice());
    else open.answer.reject(decodeError(frame.body));
  }

  lost(peer: NodeId): void {
    this.#fail(
      (ask) => ask.to === peer,
      () => new AlthingError("OUTCOME_UNKNOWN", `Cannot tell what node ${peer} did: the connection broke`),
    );
  }

  expire(nowMs: number): void {
    this.#fail(
      (ask) => ask.signal?.aborted === true,
      () => new AlthingError("ABORTED", "Cannot ask: the caller gave up"),
    );
    this.#fail(
      (ask) => nowMs >= ask.deadlineMs,
      () => new AlthingError("TIMEOUT", "Cannot ask: no answer in time"),
    );
  }

  close(): void {
    this.#fail(
      () => true,
      () => new AlthingError("CLOSED", "Cannot ask: the node is shutting down"),
    );
  }

  #fail(which: (ask: OpenAsk) => boolean, error: () => AlthingError): void {
    for (const [id, ask] of this.#open) {
      if (!which(ask)) continue;
      this.#open.delete(id);
      ask.answer.reject(error());
    }
  }
}

const SEPARATOR = "\n";

function encodeError(error: unknown): Uint8Array {
  if (error instanceof AlthingError) return utf8(`${error.code}${SEPARATOR}${error.message}`);
  if (error instanceof BytesError) return utf8(`REQUEST_INVALID${SEPARATOR}Cannot answer: ${error.message}`);
  return utf8(`OUTCOME_UNKNOWN${SEPARATOR}${error instanceof Error ? error.message : String(error)}`);
}

const remoteCodes = new Set([
  "GROUP_NO_LEADER",
  "GROUP_OVERLOADED",
  "OUTCOME_UNKNOWN",
  "TIMEOUT",
  "CLOSED",
  "NOT_LEADER",
  "MEMBERSHIP_REFUSED",
  "REQUEST_INVALID",
  "REQUEST_TOO_LARGE",
  "DISK_FULL",
]);

function decodeError(body: Uint8Array): AlthingError {
  const [code = "", ...rest] = fromUtf8(body).split(SEPARATOR);
  const message = rest.join(SEPARATOR);
  // Only codes of the list above come from peers; the cast follows from that check.
  return new AlthingError(remoteCodes.has(code) ? (code as "TIMEOUT") : "OUTCOME_UNKNOWN", message);
}
