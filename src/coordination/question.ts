/**
 * What one node's coordination asks another's, over the group's own connections: things that only the leader knows. One tag
 * byte and a message; the answer is one byte for the outcome, then a message or an error's code.
 */
import { BytesError, fromUtf8, utf8 } from "../base/bytes.ts";
import { field, message } from "../base/protobuf.ts";
import { EtcdError, isEtcdErrorCode } from "./etcd-error.ts";

export type Question =
  | { readonly type: "lease-renew"; readonly id: bigint }
  | { readonly type: "lease-time-to-live"; readonly id: bigint }
  /** Has the learner caught up? */
  | { readonly type: "learner-ready"; readonly member: number };

/** Seconds, −1 for a lease that does not exist; for `learner-ready` 1 or 0. */
export type Answer = number;

const Lease = message({ id: field(1, "int64") });
const Learner = message({ member: field(1, "uint53") });
const Plain = message({ value: field(1, "int53") });

const ANSWERED = 0;
const FAILED = 1;

export function encodeQuestion(question: Question): Uint8Array {
  const bytes = question.type === "learner-ready" ? Learner.encode(question, 1) : Lease.encode({ id: question.id }, 1);
  bytes[0] = question.type === "lease-renew" ? 1 : question.type === "lease-time-to-live" ? 2 : 3;
  return bytes;
}

/** Throws BytesError. */
export function decodeQuestion(bytes: Uint8Array): Question {
  const body = bytes.subarray(1);
  switch (bytes[0]) {
    case 1:
      return { type: "lease-renew", id: Lease.decode(body).id };
    case 2:
      return { type: "lease-time-to-live", id: Lease.decode(body).id };
    case 3:
      return { type: "learner-ready", member: Learner.decode(body).member };
    default:
      throw new BytesError(`unknown question ${bytes[0]}`);
  }
}

/** Runs `answer` and encodes what it gives; an EtcdError travels to the asker, anything else is passed on. */
export async function encodeAnswer(answer: () => Promise<Answer>): Promise<Uint8Array> {
  try {
    const bytes = Plain.encode({ value: await answer() }, 1);
    bytes[0] = ANSWERED;
    return bytes;
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    const code = utf8(error.code);
    const bytes = new Uint8Array(1 + code.length);
    bytes[0] = FAILED;
    bytes.set(code, 1);
    return bytes;
  }
}

/** Throws the EtcdError that the other node reported; BytesError on anything else. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const body = bytes.subarray(1);
  if (bytes[0] === ANSWERED) return Plain.decode(body).value;
  const code = fromUtf8(body);
  if (bytes[0] !== FAILED || !isEtcdErrorCode(code)) throw new BytesError("unknown answer");
  throw new EtcdError(code);
}
