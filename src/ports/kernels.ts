/** Pure work done by native code: same input, same output on every host. */
export interface Kernels {
  /** CRC-32 (IEEE 802.3), continued from `seed`. */
  crc32(bytes: Uint8Array, seed?: number): number;
  /** Each byte becomes the character of the same number, so that comparing the strings is comparing the bytes. */
  latin1(bytes: Uint8Array): string;
}
