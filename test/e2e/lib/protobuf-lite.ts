/**
 * The part of the protobuf wire format (protobuf.dev/programming-guides/encoding) that the test clients need: varints and
 * length-delimited fields. Written apart from the product's codec on purpose, so that a mistake there is not repeated here.
 */

/** A field value to write: a number as varint, bytes as they are. Zero and empty are left out, as proto3 does. */
export type FieldValue = number | bigint | boolean | Uint8Array;

/** Encodes `[field number, value]` pairs in the order given; a field may repeat. */
export function encodeMessage(fields: readonly (readonly [field: number, value: FieldValue])[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const [field, value] of fields) {
    if (value instanceof Uint8Array) {
      if (value.length > 0) parts.push(varint((BigInt(field) << 3n) | 2n), varint(BigInt(value.length)), value);
      continue;
    }
    const number = BigInt(value);
    if (number !== 0n) parts.push(varint(BigInt(field) << 3n), varint(number));
  }
  return Buffer.concat(parts);
}

/** A nested message, which proto3 writes even when it is empty. */
export function encodeNested(field: number, message: Uint8Array): Buffer {
  return Buffer.concat([varint((BigInt(field) << 3n) | 2n), varint(BigInt(message.length)), message]);
}

function varint(value: bigint): Buffer {
  let rest = BigInt.asUintN(64, value);
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Buffer.from(bytes);
}

export interface DecodedField {
  readonly field: number;
  /** A varint's value, or a length-delimited field's bytes. */
  readonly number: bigint;
  readonly bytes: Uint8Array;
}

const none = new Uint8Array(0);

/** Decodes one level of a message. Fails on what is not a well-formed message. */
export function decodeMessage(message: Uint8Array): readonly DecodedField[] {
  const fields: DecodedField[] = [];
  let at = 0;
  const readVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new Error("Cannot decode: the message ends inside a varint");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new Error("Cannot decode: a varint is longer than ten bytes");
  };
  const take = (length: number): Uint8Array => {
    if (at + length > message.length) throw new Error("Cannot decode: the message ends inside a field");
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = readVarint();
    const field = Number(tag >> 3n);
    switch (Number(tag & 7n)) {
      case 0:
        fields.push({ field, number: readVarint(), bytes: none });
        break;
      case 1:
        fields.push({ field, number: 0n, bytes: take(8) });
        break;
      case 2:
        fields.push({ field, number: 0n, bytes: take(Number(readVarint())) });
        break;
      case 5:
        fields.push({ field, number: 0n, bytes: take(4) });
        break;
      default:
        throw new Error(`Cannot decode: field ${field} has wire type ${tag & 7n}`);
    }
  }
  return fields;
}

/** The last value of a varint field; 0 if it is missing, as proto3 says. */
export function numberOf(fields: readonly DecodedField[], field: number): bigint {
  return fields.findLast((found) => found.field === field)?.number ?? 0n;
}

/** The last value of a length-delimited field; empty if it is missing. */
export function bytesOf(fields: readonly DecodedField[], field: number): Uint8Array {
  return fields.findLast((found) => found.field === field)?.bytes ?? none;
}
