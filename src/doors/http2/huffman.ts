/**
 * HPACK's Huffman code, for reading. It is canonical: the codes follow from their lengths, counted up in the order of
 * (length, symbol), so only the lengths stand here.
 * Source  RFC 7541 section 5.2 and appendix B.
 */
import { assert } from "../../base/assert.ts";

/** Length in bits → the symbols with codes of it, in ascending order; 256 is the end of the string, which is never sent. */
const SYMBOLS: readonly (readonly [number, readonly number[]])[] = [
  [5, [...codes("012aceiost")]],
  [6, [...codes(" %-./3456789=A_bdfghlmnpru")]],
  [7, [...codes(":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz")]],
  [8, [...codes("&*,;XZ")]],
  [10, [...codes('!"()?')]],
  [11, [...codes("'+|")]],
  [12, [...codes("#>")]],
  [13, [0, ...codes("$@[]~")]],
  [14, [...codes("^}")]],
  [15, [...codes("<`{")]],
  [19, [92, 195, 208]],
  [20, [128, 130, 131, 162, 184, 194, 224, 226]],
  [21, [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]],
  [
    22,
    [
      129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198,
      228, 232, 233,
    ],
  ],
  [
    23,
    [
      1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182,
      183, 188, 191, 197, 231, 239,
    ],
  ],
  [24, [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]],
  [25, [199, 207, 234, 235]],
  [26, [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]],
  [27, [203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]],
  [
    28,
    [2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249],
  ],
  [30, [10, 13, 22, 256]],
];

function codes(text: string): number[] {
  return [...Buffer.from(text, "latin1")];
}

const END_OF_STRING = 256;
/** A leaf is ~symbol; a branch is the place of its two children; 0 is no child, for the root is nobody's child. */
const TREE: Int16Array = buildTree();

function buildTree(): Int16Array {
  const tree: number[] = [0, 0];
  let code = 0;
  let codeBits = 0;
  for (const [bits, symbols] of SYMBOLS) {
    code *= 2 ** (bits - codeBits);
    codeBits = bits;
    for (const symbol of symbols) {
      let at = 0;
      for (let left = bits - 1; left >= 0; left--) {
        const child = at + (Math.floor(code / 2 ** left) & 1);
        if (left === 0) tree[child] = ~symbol;
        else {
          if (tree[child] === 0) {
            tree[child] = tree.length;
            tree.push(0, 0);
          }
          at = tree[child] as number; // filled by the line above
        }
      }
      code++;
    }
  }
  assert(code === 2 ** codeBits, "the code is complete", { code, codeBits });
  return Int16Array.from(tree);
}

/** The text, one character a byte; undefined if it is no such code: a wrong padding, or the end of the string inside. */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number): string | undefined {
  const out = Buffer.allocUnsafe(((to - from) * 8) / 5 + 1);
  let length = 0;
  let at = 0;
  /** Bits since the last symbol, and whether all of them were ones: what may stand at the end as padding. */
  let depth = 0;
  let ones = true;
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number; // in range by the loop's bound
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >> shift) & 1;
      const next = TREE[at + bit] as number; // a branch has two children, as the code is complete
      depth++;
      if (bit === 0) ones = false;
      if (next >= 0) {
        at = next;
        continue;
      }
      const symbol = ~next;
      if (symbol === END_OF_STRING) return undefined;
      out[length++] = symbol;
      at = 0;
      depth = 0;
      ones = true;
    }
  }
  return depth > 7 || !ones ? undefined : out.toString("latin1", 0, length);
}
