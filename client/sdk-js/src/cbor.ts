/**
 * A CBOR reader for one shape of document: heads only, shortest form only, no recursion.
 *
 * RFC 8949 allows several encodings of one value. Two readers that pick different ones can be made
 * to disagree, so this one reads the shortest and nothing else. Maps may have an indefinite length,
 * as Nitro writes them since 2025; strings and arrays may not.
 */

import { type Bytes, utf8 } from "./bytes.js";
import { refusal } from "./error.js";

/** How many entries of a map are still to come; `undefined`: until its break. */
export interface Entries {
  left: bigint | undefined;
}

interface Head {
  readonly at: number;
  readonly major: number;
  /** `undefined` for an indefinite length. */
  readonly argument: bigint | undefined;
}

/** Reads items from the front of a byte string. */
export class Reader {
  readonly #bytes: Bytes;
  readonly #base: number;
  #at = 0;

  /** `base` is where `bytes` starts in the document, for messages. */
  constructor(bytes: Bytes, base: number) {
    this.#bytes = bytes;
    this.#base = base;
  }

  /** Offset of the next byte in the document. */
  get offset(): number {
    return this.#base + this.#at;
  }

  /** The next byte, left in place. */
  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** All that is left. */
  get rest(): Bytes {
    return this.#bytes.subarray(this.#at);
  }

  tag(): bigint {
    return this.#expect(TAG, "a tag");
  }

  uint(): bigint {
    return this.#expect(UNSIGNED, "an unsigned integer");
  }

  array(): bigint {
    return this.#expect(ARRAY, "an array");
  }

  /** A byte string of at most `limit` bytes. */
  bytes(field: string, limit: number): Bytes {
    return this.#take(field, this.#expect(BYTES, "a byte string"), limit);
  }

  /** A byte string of at most `limit` bytes, or null. */
  optionalBytes(field: string, limit: number): Bytes | null {
    if (this.peek() === NULL) {
      this.#at += 1;
      return null;
    }
    return this.bytes(field, limit);
  }

  /** A text string of at most `limit` bytes. */
  text(field: string, limit: number): string {
    const at = this.offset;
    const bytes = this.#take(field, this.#expect(TEXT, "a text string"), limit);
    const text = utf8(bytes);
    if (text === undefined) throw refusal("NotUtf8", { at, field });
    return text;
  }

  /** The head of a map of at most `limit` entries; an indefinite one is counted by its reader. */
  map(field: string, limit: bigint): Entries {
    const { at, major, argument } = this.#head();
    if (major !== MAP) throw refusal("UnexpectedType", { at, expected: "a map", found: nameOf(major) });
    if (argument !== undefined && argument > limit) throw refusal("TooManyEntries", { field, limit });
    return { left: argument };
  }

  /** Whether another entry follows; consumes the break of an indefinite map. */
  another(entries: Entries): boolean {
    if (entries.left === undefined) {
      const next = this.peek();
      if (next === undefined) throw refusal("Truncated", { at: this.offset });
      if (next !== BREAK) return true;
      this.#at += 1;
      return false;
    }
    if (entries.left === 0n) return false;
    entries.left -= 1n;
    return true;
  }

  /** Insists that nothing is left. */
  finish(after: string): void {
    const count = this.#bytes.length - this.#at;
    if (count > 0) throw refusal("TrailingBytes", { at: this.offset, count, after });
  }

  #expect(major: number, expected: string): bigint {
    const head = this.#head();
    if (head.major !== major) {
      throw refusal("UnexpectedType", { at: head.at, expected, found: nameOf(head.major) });
    }
    if (head.argument === undefined) throw refusal("IndefiniteLength", { at: head.at });
    return head.argument;
  }

  /** A length is held against its limit before it is compared with what is left. */
  #take(field: string, length: bigint, limit: number): Bytes {
    if (length > BigInt(limit)) throw refusal("FieldTooLong", { field, found: length, limit });
    const end = this.#at + Number(length);
    if (end > this.#bytes.length) throw refusal("Truncated", { at: this.#base + this.#bytes.length });
    const taken = this.#bytes.slice(this.#at, end);
    this.#at = end;
    return taken;
  }

  #head(): Head {
    const at = this.offset;
    const initial = this.#byte();
    const major = initial >> 5;
    const info = initial & 0x1f;
    if (info <= 23) return { at, major, argument: BigInt(info) };
    // Simple values and floats: no field has one, and their argument is no length.
    if (major === SIMPLE) return { at, major, argument: undefined };
    if (info <= 27) return { at, major, argument: this.#argument(at, 1 << (info - 24)) };
    const hasLength = major === BYTES || major === TEXT || major === ARRAY || major === MAP;
    if (info === 31 && hasLength) return { at, major, argument: undefined };
    throw refusal("ReservedHead", { at, found: initial });
  }

  /** A big-endian argument of `width` bytes that would not fit a shorter form. */
  #argument(at: number, width: number): bigint {
    let value = 0n;
    for (let index = 0; index < width; index++) value = (value << 8n) | BigInt(this.#byte());
    const smallest = width === 1 ? 24n : 1n << BigInt(width * 4);
    if (value < smallest) throw refusal("NotShortest", { at });
    return value;
  }

  #byte(): number {
    const byte = this.peek();
    if (byte === undefined) throw refusal("Truncated", { at: this.offset });
    this.#at += 1;
    return byte;
  }
}

function nameOf(major: number): string {
  return TYPE_NAMES[major] ?? "a simple value";
}

const TYPE_NAMES = [
  "an unsigned integer",
  "a negative integer",
  "a byte string",
  "a text string",
  "an array",
  "a map",
  "a tag",
];

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;
const SIMPLE = 7;

const NULL = 0xf6;
const BREAK = 0xff;
