/** Native code of Node.js behind the Kernels port. */
import { crc32 } from "node:zlib";
import type { Kernels } from "../ports/kernels.ts";

/** The method behind `toString("latin1")`; called on any bytes, it makes no Buffer for each key. Node's types leave it out. */
const { latin1Slice } = Buffer.prototype as unknown as {
  readonly latin1Slice: (this: Uint8Array, start: number, end: number) => string;
};

export const nodeKernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => latin1Slice.call(bytes, 0, bytes.length),
};
