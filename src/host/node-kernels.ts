/** Native code of Node.js behind the Kernels port. */
import { crc32 } from "node:zlib";
import type { Kernels } from "../ports/kernels.ts";

export const nodeKernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1"),
};
