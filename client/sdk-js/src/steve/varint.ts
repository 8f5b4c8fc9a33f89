/** Lengths: QUIC's variable-length integers (RFC 9000, section 16), in their shortest form of at most four bytes. */

import { type Bytes, byteAt } from "../bytes.js";

/** A value below 2³⁰. */
export function varint(value: number): Bytes {
  if (value < 0x40) return Uint8Array.of(value);
  if (value < 0x4000) return Uint8Array.of(0x40 | (value >> 8), value & 0xff);
  if (value >= 0x4000_0000) throw new RangeError(`${value} is no length of four bytes`);
  return Uint8Array.of(0x80 | (value >>> 24), (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff);
}

export interface Varint {
  readonly value: number;
  /** How many bytes it took. */
  readonly used: number;
}

/** The value in front of these bytes; nothing where there are too few. Throws what `refuse` makes of another form. */
export function readVarint(bytes: Uint8Array, refuse: () => Error): Varint | undefined {
  const first = bytes[0];
  if (first === undefined) return undefined;
  const used = 1 << (first >> 6);
  if (used > 4) throw refuse();
  if (bytes.length < used) return undefined;
  let value = first & 0x3f;
  for (let at = 1; at < used; at++) value = (value << 8) | byteAt(bytes, at);
  if (varint(value).length !== used) throw refuse();
  return { value, used };
}
