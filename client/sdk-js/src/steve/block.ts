/** The keys of a stream, and their ratchet. */

import type { Bytes } from "../bytes.js";
import { aesKey, aesOpen, aesSeal } from "./hpke.js";
import { ascii, hkdf, hkdfKey } from "./kdf.js";

/** After how many chunks the key changes. */
export const RATCHET_INTERVAL = 2 ** 20;

/** The keys of one direction of one exchange. Its steps come one after another: whoever calls sees to that. */
export class Block {
  readonly #th: Bytes;
  readonly #interval: number;
  #keys: Keys;
  #counter = 0;

  private constructor(th: Bytes, keys: Keys, interval: number) {
    this.#th = th;
    this.#keys = keys;
    this.#interval = interval;
  }

  /** `interval` is another one in tests, which cannot wait for a million chunks. */
  static async of(th: Bytes, direction: CryptoKey, info: Bytes, interval = RATCHET_INTERVAL): Promise<Block> {
    return new Block(th, await derive(th, direction, info), interval);
  }

  /** Seals the next chunk. */
  async seal(inner: Bytes, last: boolean): Promise<Bytes> {
    const nonce = await this.#nonce();
    return aesSeal(this.#keys.key, nonce, last ? FINAL : NOT_FINAL, inner);
  }

  /** Opens the next chunk; nothing where it does not authenticate. */
  async open(sealed: Bytes, last: boolean): Promise<Bytes | undefined> {
    const nonce = await this.#nonce();
    return aesOpen(this.#keys.key, nonce, last ? FINAL : NOT_FINAL, sealed);
  }

  /** The nonce of the next chunk; the key changes when its chunks are used up. */
  async #nonce(): Promise<Bytes> {
    if (this.#counter === this.#interval) {
      this.#keys = await derive(this.#th, this.#keys.next, ascii("steve3 ku"));
      this.#counter = 0;
    }
    const nonce = this.#keys.iv.slice();
    // The counter stands at the end of the nonce, and stays far below 32 bits.
    const end = new DataView(nonce.buffer, 8);
    end.setUint32(0, (end.getUint32(0) ^ this.#counter) >>> 0);
    this.#counter += 1;
    return nonce;
  }
}

interface Keys {
  readonly key: CryptoKey;
  readonly iv: Bytes;
  /** What the keys after these come from. */
  readonly next: CryptoKey;
}

/** `key(32) || iv(12) || next(32)`. */
async function derive(th: Bytes, secret: CryptoKey, info: Bytes): Promise<Keys> {
  const block = await hkdf(th, secret, info, 76);
  const key = await aesKey(block.subarray(0, 32));
  const iv = block.slice(32, 44);
  const next = await hkdfKey(block.subarray(44));
  block.fill(0);
  return { key, iv, next };
}

/** What is authenticated beside a chunk: whether it is the last. */
const FINAL = ascii("final");
const NOT_FINAL = new Uint8Array();
