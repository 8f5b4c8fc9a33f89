/** Bytes in, records out. */

import type { Bytes } from "../bytes.js";
import type { Block } from "./block.js";
import { RecordError } from "./error.js";
import { TAG } from "./hpke.js";
import { kindOf, type OpenedRecord } from "./record.js";
import { Turns } from "./turns.js";
import { readVarint } from "./varint.js";
import { Waiting } from "./waiting.js";

/** What comes next: a length, a chunk of so many bytes, the final chunk to the end of the stream, or nothing. */
type State = "length" | number | "final" | "ended";

/** Opens one direction of an exchange: bytes in, records out, in order. */
export class Opener {
  readonly #block: Block;
  readonly #mostSealed: number;
  readonly #turns = new Turns();
  /** Bytes that came and are not opened: a part of one chunk, or the final one. */
  readonly #waiting = new Waiting();
  #state: State = "length";

  /** For sessions alone. */
  constructor(block: Block, maxChunk: number) {
    this.#block = block;
    this.#mostSealed = maxChunk + 1 + TAG;
  }

  /**
   * Takes bytes of the stream, in any pieces. Call `next` until there is none before the next bytes: so no
   * more than these and one chunk ever wait here.
   */
  feed(bytes: Uint8Array): void {
    if (this.#state === "ended" && bytes.length > 0) throw new RecordError("AfterEnd", {});
    this.#waiting.push(bytes);
  }

  /** The next record that is there as a whole. A `RecordError` ends the stream. */
  next(): Promise<OpenedRecord | undefined> {
    return this.#turns.take(() => this.#unlessBroken(() => this.#advance()));
  }

  /**
   * The stream has ended: what is left of it, record after record, then none. The last of them is the final
   * one, or there is an error.
   */
  end(): Promise<OpenedRecord | undefined> {
    return this.#turns.take(() => this.#unlessBroken(() => this.#finish()));
  }

  async #finish(): Promise<OpenedRecord | undefined> {
    const record = await this.#advance();
    if (record !== undefined || this.#state === "ended") return record;
    if (this.#state !== "final") throw new RecordError("Truncated", {});
    const last = await this.#open(this.#waiting.length, true);
    this.#breakOff();
    return last;
  }

  async #advance(): Promise<OpenedRecord | undefined> {
    if (this.#state === "length") {
      const length = readVarint(this.#waiting.bytes, () => new RecordError("Length", {}));
      if (length === undefined) return undefined;
      this.#check(length.value);
      this.#waiting.skip(length.used);
      this.#state = length.value === 0 ? "final" : length.value;
    }
    if (this.#state === "final") this.#check(this.#waiting.length);
    if (typeof this.#state !== "number" || this.#waiting.length < this.#state) return undefined;
    const length = this.#state;
    this.#state = "length";
    return this.#open(length, false);
  }

  #check(length: number): void {
    const most = this.#mostSealed;
    if (length > most) throw new RecordError("TooLong", { length, most });
  }

  /** Takes its bytes before it waits for anything, so that others may come meanwhile. */
  async #open(length: number, last: boolean): Promise<OpenedRecord> {
    const inner = await this.#block.open(this.#waiting.take(length), last);
    if (inner === undefined) throw new RecordError("NotAuthentic", {});
    // Padding is zeros, a type is not.
    let at = inner.length - 1;
    while (at > 0 && inner[at] === 0) at--;
    const found = inner[at] ?? 0;
    const kind = kindOf(found);
    if (kind === undefined) throw new RecordError("Type", { found });
    const content: Bytes = inner.slice(0, at);
    inner.fill(0);
    return { kind, content, last };
  }

  async #unlessBroken<Result>(step: () => Promise<Result>): Promise<Result> {
    try {
      return await step();
    } catch (error) {
      this.#breakOff();
      throw error;
    }
  }

  #breakOff(): void {
    this.#state = "ended";
    this.#waiting.clear();
  }
}
