/**
 * Deterministic CBOR (RFC 8949, section 4.2.1) of the few shapes STEVE has.
 *
 * What is read is written again and compared: whatever is not the one form of its value is refused,
 * with duplicate keys, other orders, longer heads and trailing bytes. So the reader here need not ask,
 * unlike that of documents, which have no one form.
 */

import { type Bytes, byteAt, concat, equal, utf8 } from "../bytes.js";
import { ascii } from "./kdf.js";

/** A message that has exactly one form. */
export interface Shape<Value> {
  /** Writes that form. */
  write(value: Value, to: Writer): void;
  /** Reads a value of any form; throws `NotThisShape`. */
  read(from: Reader): Value;
}

export function toBytes<Value>(shape: Shape<Value>, value: Value): Bytes {
  const writer = new Writer();
  shape.write(value, writer);
  return writer.bytesSoFar;
}

/** The value whose one form these bytes are; nothing where there is none. */
export function fromBytes<Value>(shape: Shape<Value>, bytes: Bytes): Value | undefined {
  try {
    const value = shape.read(new Reader(bytes));
    return equal(toBytes(shape, value), bytes) ? value : undefined;
  } catch (error) {
    if (error instanceof NotThisShape) return undefined;
    throw error;
  }
}

/** The bytes are of another shape. It does not leave this package. */
export class NotThisShape extends Error {}

export class Writer {
  readonly #parts: Uint8Array[] = [];

  get bytesSoFar(): Bytes {
    return concat(...this.#parts);
  }

  map(entries: number): this {
    return this.#head(MAP, BigInt(entries));
  }

  array(items: number): this {
    return this.#head(ARRAY, BigInt(items));
  }

  uint(value: number | bigint): this {
    return this.#head(UNSIGNED, BigInt(value));
  }

  bytes(value: Uint8Array): this {
    this.#head(BYTES, BigInt(value.length)).#parts.push(value);
    return this;
  }

  text(value: string): this {
    const bytes = ascii(value);
    this.#head(TEXT, BigInt(bytes.length)).#parts.push(bytes);
    return this;
  }

  bool(value: boolean): this {
    this.#parts.push(Uint8Array.of(value ? TRUE : FALSE));
    return this;
  }

  #head(major: number, argument: bigint): this {
    const initial = major << 5;
    if (argument < 24n) {
      this.#parts.push(Uint8Array.of(initial | Number(argument)));
      return this;
    }
    const width = WIDTHS.findIndex((bytes) => argument < 1n << BigInt(bytes * 8));
    const whole = new Uint8Array(9);
    new DataView(whole.buffer).setBigUint64(1, argument);
    this.#parts.push(Uint8Array.of(initial | (24 + width)), whole.slice(9 - (WIDTHS[width] ?? 8)));
    return this;
  }
}

export class Reader {
  readonly #bytes: Bytes;
  #at = 0;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  /** The head of a map: how many entries. */
  map(): number {
    return Number(this.#head(MAP));
  }

  array(): number {
    return Number(this.#head(ARRAY));
  }

  /** The next key of a map. */
  key(expected: number): void {
    insist(this.#head(UNSIGNED) === BigInt(expected));
  }

  /** Of at most 64 bits. */
  u64(): bigint {
    return this.#head(UNSIGNED);
  }

  /** Of at most 32 bits. */
  u32(): number {
    const value = this.#head(UNSIGNED);
    insist(value < 1n << 32n);
    return Number(value);
  }

  /** A byte string, of exactly `length` bytes where that is given. */
  bytes(length?: number): Bytes {
    const found = this.#take(this.#head(BYTES));
    insist(length === undefined || found.length === length);
    return found;
  }

  text(): string {
    const text = utf8(this.#take(this.#head(TEXT)));
    insist(text !== undefined);
    return text;
  }

  bool(): boolean {
    const [byte] = this.#take(1n);
    insist(byte === TRUE || byte === FALSE);
    return byte === TRUE;
  }

  #head(major: number): bigint {
    const initial = byteAt(this.#take(1n), 0);
    const info = initial & 0x1f;
    insist(initial >> 5 === major && info <= 27);
    if (info < 24) return BigInt(info);
    return this.#take(BigInt(1 << (info - 24))).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  #take(length: bigint): Bytes {
    insist(length <= this.#bytes.length - this.#at);
    const taken = this.#bytes.slice(this.#at, this.#at + Number(length));
    this.#at += taken.length;
    return taken;
  }
}

export function insist(condition: boolean): asserts condition {
  if (!condition) throw new NotThisShape();
}

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const FALSE = 0xf4;
const TRUE = 0xf5;
/** Bytes of the arguments that follow heads 24 to 27. */
const WIDTHS = [1, 2, 4, 8];
