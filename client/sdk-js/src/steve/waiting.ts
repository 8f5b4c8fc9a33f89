/** Bytes that came and are not used yet. What is taken from the front costs nothing but its own length. */

import type { Bytes } from "../bytes.js";

export class Waiting {
  #buffer: Bytes = new Uint8Array();
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** A view, until the next change. */
  get bytes(): Bytes {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#buffer.length) this.#makeRoom(bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  skip(length: number): void {
    this.#start += length;
  }

  /** A copy of the first bytes, which are there. */
  take(length: number): Bytes {
    const taken = this.bytes.slice(0, length);
    this.skip(length);
    return taken;
  }

  clear(): void {
    this.#buffer = new Uint8Array();
    this.#start = 0;
    this.#end = 0;
  }

  /** Twice as much as is needed, so that bytes which come one by one are not copied one by one. */
  #makeRoom(more: number): void {
    const roomy = new Uint8Array(2 * (this.length + more));
    roomy.set(this.bytes);
    this.#end = this.length;
    this.#start = 0;
    this.#buffer = roomy;
  }
}
