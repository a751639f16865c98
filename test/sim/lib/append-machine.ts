/**
 * The smallest machine that shows every mistake: lists of numbers by key. A lost write is a missing number, a double one a
 * repeated number, a reordered one a different list.
 */
import { ByteReader, ByteWriter } from "../../../src/base/bytes.ts";
import type { Codec, MachineSnapshot, StateMachine } from "../../../src/group/state-machine.ts";

export interface Appended {
  readonly key: number;
  /** Position of the number in its list, from 0. */
  readonly position: number;
}

/** `paddingBytes` make the command, and nothing else, larger. */
export function appendCommand(key: number, value: number, paddingBytes = 0): Uint8Array {
  return new ByteWriter(16 + paddingBytes).varint(key).varint(value).raw(new Uint8Array(paddingBytes)).finish();
}

export class AppendMachine implements StateMachine<Appended, number, readonly number[]> {
  #lists = new Map<number, number[]>();

  readonly results: Codec<Appended> = {
    encode: ({ key, position }) => new ByteWriter(16).varint(key).varint(position).finish(),
    decode: (bytes) => {
      const input = new ByteReader(bytes);
      return { key: input.varint(), position: input.varint() };
    },
  };

  get lists(): ReadonlyMap<number, readonly number[]> {
    return this.#lists;
  }

  apply(command: Uint8Array): Appended {
    const input = new ByteReader(command);
    const key = input.varint();
    const value = input.varint();
    const list = this.#lists.get(key) ?? [];
    list.push(value);
    this.#lists.set(key, list);
    return { key, position: list.length - 1 };
  }

  query(key: number): readonly number[] {
    return [...(this.#lists.get(key) ?? [])];
  }

  snapshot(): MachineSnapshot {
    const chunks: Uint8Array[] = [];
    for (const key of [...this.#lists.keys()].sort((a, b) => a - b)) {
      const list = this.#lists.get(key) ?? [];
      const out = new ByteWriter(64).varint(key).varint(list.length);
      for (const value of list) out.varint(value);
      chunks.push(out.finish());
    }
    return {
      async *chunks() {
        yield* chunks;
      },
      close: () => undefined,
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const lists = new Map<number, number[]>();
    for await (const chunk of chunks) {
      const input = new ByteReader(chunk);
      const key = input.varint();
      const list: number[] = [];
      for (let left = input.varint(); left > 0; left--) list.push(input.varint());
      lists.set(key, list);
    }
    this.#lists = lists;
  }
}
