/** Records in, bytes out. */

import { type Bytes, concat } from "../bytes.js";
import type { Block } from "./block.js";
import { KINDS, type Kind } from "./record.js";
import { Turns } from "./turns.js";
import { varint } from "./varint.js";

/** Seals one direction of an exchange. */
export class Sealer {
  /** The longest content of a record, in bytes. */
  readonly maxContent: number;
  readonly #block: Block;
  readonly #turns = new Turns();
  #bucket = 1;
  #ended = false;

  /** For sessions alone. */
  constructor(block: Block, maxChunk: number) {
    this.#block = block;
    this.maxContent = maxChunk;
  }

  /**
   * From the next record on content is padded to a multiple of `bucket` bytes with its type, as far as the
   * longest chunk allows; 1, as at the start, does not pad.
   */
  padTo(bucket: number): void {
    if (!Number.isSafeInteger(bucket) || bucket < 0) throw new TypeError(`${bucket} is no number of bytes`);
    this.#bucket = Math.max(bucket, 1);
  }

  /**
   * The bytes of the next record. Send them in the order of the calls, which may overlap.
   *
   * Rejects with a `TypeError` where the content is longer than `maxContent` or the last record was sealed:
   * bytes that no peer takes.
   */
  async seal(kind: Kind, content: Uint8Array, last = false): Promise<Bytes> {
    if (this.#ended) throw new TypeError("a record after the last");
    const { length } = content;
    if (length > this.maxContent) throw new TypeError(`content of ${length} bytes (at most ${this.maxContent})`);
    this.#ended = last;
    const padded = Math.ceil((length + 1) / this.#bucket) * this.#bucket;
    const inner = new Uint8Array(Math.min(padded, this.maxContent + 1));
    inner.set(content);
    inner[length] = KINDS[kind];
    const sealed = await this.#turns.take(() => this.#block.seal(inner, last));
    inner.fill(0);
    return concat(varint(last ? 0 : sealed.length), sealed);
  }
}
