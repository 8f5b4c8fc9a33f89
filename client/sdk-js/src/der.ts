/**
 * A reader of DER (X.690), as far as certificates of a Nitro chain use it.
 *
 * What is read one way only: shortest lengths, shortest numbers, shortest object identifiers, the
 * tags that X.509 knows. Errors say where reading stopped; what that means is the caller's to say.
 */

import { type Bytes, byteAt } from "./bytes.js";

/** Why bytes are not DER. */
export class DerError extends Error {
  readonly at: number;

  constructor(at: number) {
    super(`no valid DER at byte ${at}`);
    this.at = at;
  }
}

interface Header {
  /** The tag's first byte. */
  readonly tag: number;
  readonly length: number;
}

/** An element: its tag's first byte and its value. */
export interface Any {
  readonly tag: number;
  readonly value: Bytes;
}

/** Reads elements from a part of a byte string. */
export class Der {
  readonly #bytes: Bytes;
  readonly #end: number;
  #at: number;

  constructor(bytes: Bytes, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get isFinished(): boolean {
    return this.#at === this.#end;
  }

  /** Insists that nothing is left. */
  finish(): void {
    if (!this.isFinished) throw this.error();
  }

  error(): DerError {
    return new DerError(this.#at);
  }

  /** The next element's first byte, left in place; its tag must be one that X.509 knows. */
  peek(): number {
    const at = this.#at;
    const tag = this.#tag();
    this.#at = at;
    return tag;
  }

  /** The next element whole, as it stands there. */
  element(): Bytes {
    const start = this.#at;
    this.#skip(this.#header().length);
    return this.#bytes.slice(start, this.#at);
  }

  /** The next element, whatever it is. */
  any(): Any {
    const { tag, length } = this.#header();
    const start = this.#skip(length);
    return { tag, value: this.#bytes.slice(start, this.#at) };
  }

  /** What `read` reads from inside the next element, which has this tag and is read to its end. */
  inside<T>(tag: number, read: (inner: Der) => T): T {
    const start = this.#expect(tag);
    const inner = new Der(this.#bytes, start, this.#at);
    const result = read(inner);
    inner.finish();
    return result;
  }

  sequence<T>(read: (inner: Der) => T): T {
    return this.inside(SEQUENCE, read);
  }

  octetString(): Bytes {
    return this.#value(OCTET_STRING);
  }

  /** A bit string of whole bytes. */
  octets(): Bytes {
    const { unused, bytes } = this.bitString();
    if (unused !== 0) throw this.error();
    return bytes;
  }

  /** A bit string; bits that are unused are zero. */
  bitString(): { unused: number; bytes: Bytes } {
    const value = this.#value(BIT_STRING);
    const [unused, last] = [value[0], value.at(-1)];
    if (unused === undefined || last === undefined || unused > 7) throw this.error();
    if (unused > 0 && (value.length === 1 || (last & ((1 << unused) - 1)) !== 0)) throw this.error();
    return { unused, bytes: value.slice(1) };
  }

  /** An integer that is not negative, big-endian without leading zeros; zero is one byte. */
  unsigned(): Bytes {
    const value = this.#value(INTEGER);
    const [first, second] = value;
    if (first === undefined || first >= 0x80) throw this.error();
    if (first !== 0 || second === undefined) return value;
    if (second < 0x80) throw this.error();
    return value.slice(1);
  }

  /** An integer from 0 to 255. */
  byte(): number {
    const value = this.unsigned();
    if (value.length > 1) throw this.error();
    return byteAt(value, 0);
  }

  /** `BOOLEAN DEFAULT FALSE`: a value equal to its default is left out. */
  trueOrAbsent(): boolean {
    if (this.isFinished || this.peek() !== BOOLEAN) return false;
    const value = this.#value(BOOLEAN);
    if (value.length !== 1 || value[0] !== 0xff) throw this.error();
    return true;
  }

  /** An object identifier as numbers with dots. */
  objectIdentifier(): string {
    const value = this.#value(OBJECT_IDENTIFIER);
    const root = value[0];
    // The first two numbers share a byte; `2.40` and above, which would take more, nobody uses here.
    if (root === undefined || root > 119 || value.length > 39) throw this.error();
    const arcs = [Math.floor(root / 40), root % 40];
    let [arc, length] = [0, 0];
    for (const byte of value.subarray(1)) {
      length += 1;
      // Shortest form: no leading zeros. Numbers of more than 32 bits are not read.
      if ((length === 1 && byte === 0x80) || arc >= 2 ** 25) throw this.error();
      arc = arc * 128 + (byte & 0x7f);
      if (byte >= 0x80) continue;
      arcs.push(arc);
      [arc, length] = [0, 0];
    }
    if (length > 0) throw this.error();
    return arcs.join(".");
  }

  /** A point in time, in milliseconds since 1970, with seconds and in UTC (RFC 5280 section 4.1.2.5). */
  time(): number {
    const { tag, value } = this.any();
    const text = String.fromCharCode(...value.subarray(0, 16));
    if (tag === UTC_TIME && /^\d{12}Z$/.test(text)) {
      const year = Number(text.slice(0, 2));
      return this.#date(year + (year >= 50 ? 1900 : 2000), text.slice(2));
    }
    if (tag === GENERALIZED_TIME && /^\d{14}Z$/.test(text)) {
      return this.#date(Number(text.slice(0, 4)), text.slice(4));
    }
    throw this.error();
  }

  #date(year: number, rest: string): number {
    const [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map((at) => Number(rest.slice(at, at + 2)));
    if (month === undefined || day === undefined || hour === undefined) throw this.error();
    if (minute === undefined || second === undefined) throw this.error();
    const millis = Date.UTC(year, month - 1, day, hour, minute, second);
    // `Date` carries what is too large over into the next unit: 30 February becomes 2 March.
    const date = new Date(millis);
    const same =
      date.getUTCMonth() + 1 === month &&
      date.getUTCDate() === day &&
      date.getUTCHours() === hour &&
      date.getUTCMinutes() === minute &&
      date.getUTCSeconds() === second;
    if (year < 1970 || !same) throw this.error();
    return millis;
  }

  /** The value of the next element, which has this tag. */
  #value(tag: number): Bytes {
    return this.#bytes.slice(this.#expect(tag), this.#at);
  }

  /** Goes past the next element, which has this tag; gives where its value starts. */
  #expect(wanted: number): number {
    const { tag, length } = this.#header();
    if (tag !== wanted) throw this.error();
    return this.#skip(length);
  }

  /** Goes past a value; gives where it starts. */
  #skip(length: number): number {
    const start = this.#at;
    if (start + length > this.#end) throw this.error();
    this.#at += length;
    return start;
  }

  #header(): Header {
    const tag = this.#tag();
    const first = this.#next();
    if (first < 0x80) return { tag, length: first };
    const width = first - 0x80;
    if (width === 0 || width > 4) throw this.error();
    let length = 0;
    for (let index = 0; index < width; index++) length = length * 256 + this.#next();
    const smallest = width === 1 ? 0x80 : 2 ** (8 * (width - 1));
    if (length < smallest) throw this.error();
    return { tag, length };
  }

  /** A tag's first byte; the number that may follow is read and not needed. */
  #tag(): number {
    const first = this.#next();
    if (first < 0x40 && !UNIVERSAL.has(first)) throw this.error();
    if (first < 0x40 || (first & 0x1f) !== 0x1f) return first;
    let number = 0;
    for (let index = 0; index < 5; index++) {
      const byte = this.#next();
      number = number * 128 + (byte & 0x7f);
      if ((index === 0 && byte === 0x80) || number >= 2 ** 32) throw this.error();
      if (byte >= 0x80) continue;
      if (number < 0x1f) throw this.error();
      return first;
    }
    throw this.error();
  }

  #next(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined || this.#at >= this.#end) throw this.error();
    this.#at += 1;
    return byte;
  }
}

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
export const SET = 0x31;

/** Universal types that certificates are made of, each primitive or constructed as DER has it. */
const UNIVERSAL: ReadonlySet<number> = new Set([
  BOOLEAN,
  INTEGER,
  BIT_STRING,
  OCTET_STRING,
  0x05,
  OBJECT_IDENTIFIER,
  0x09,
  0x0a,
  0x0c,
  0x0d,
  0x12,
  0x13,
  0x14,
  0x15,
  0x16,
  UTC_TIME,
  GENERALIZED_TIME,
  0x1a,
  0x1b,
  0x1e,
  SEQUENCE,
  SET,
]);
