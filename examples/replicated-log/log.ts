/** A log that is the same on every node, replicated by Multi-Paxos: append a line, read them all. */
import {
  ByteReader,
  ByteWriter,
  fromUtf8,
  type MachineSnapshot,
  type PeerOptions,
  replicate,
  type ReplicatedNode,
  type StateMachine,
  utf8,
} from "../../src/paxos.ts"; // in your project: "althing/paxos"

/** Every replica applies the same lines in the same order; the result of an append is the line's number, from 1. */
export class Log implements StateMachine<number, undefined, readonly string[]> {
  #lines: string[] = [];

  readonly results = {
    encode: (count: number): Uint8Array => new ByteWriter().varint(count).finish(),
    decode: (bytes: Uint8Array): number => new ByteReader(bytes).varint(),
  };

  apply(command: Uint8Array): number {
    return this.#lines.push(fromUtf8(command));
  }

  query(): readonly string[] {
    return [...this.#lines];
  }

  snapshot(): MachineSnapshot {
    const lines = [...this.#lines];
    return {
      async *chunks() {
        for (const line of lines) yield utf8(line);
      },
      close: () => undefined,
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#lines = [];
    for await (const chunk of chunks) this.#lines.push(fromUtf8(chunk));
  }
}

export type LogNode = ReplicatedNode<number, undefined, readonly string[]>;

export function startLog(id: number, dir: string, peers: readonly PeerOptions[]): Promise<LogNode> {
  return replicate({ id, dir, peers, machine: new Log() });
}

/** Resolves with the line's number once it is on a majority of disks. */
export async function append(node: LogNode, line: string): Promise<number> {
  const outcome = await node.group.propose(utf8(line));
  if (outcome.type !== "committed") throw new Error(`Cannot append: ${outcome.type}`); // "unknown": it may be there
  return outcome.result;
}

/** Sees every line whose append had resolved before. */
export function read(node: LogNode): Promise<readonly string[]> {
  return node.group.read(undefined, { level: "linearizable" });
}
