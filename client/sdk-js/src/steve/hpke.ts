/** HPKE's base mode (RFC 9180) as far as STEVE needs it: one message, and exports. */

import { type Bytes, concat } from "../bytes.js";
import { ascii, labelledExpand, labelledExtract } from "./kdf.js";
import { subtle } from "./platform.js";
import { AEAD_ID, KDF_ID, type Kem, type PrivateKey, type Suite, u16s } from "./suite.js";

/** `SetupBaseS`: the context, and what the receiver needs. */
export async function sender(
  kem: Kem,
  publicKey: Bytes,
  info: Bytes,
  random: Bytes,
): Promise<{ readonly context: Context; readonly encapsulated: Bytes }> {
  const { shared, encapsulated } = await kem.encapsulate(publicKey, random);
  return { context: await Context.of(kem.suite, shared, info), encapsulated };
}

/** `SetupBaseR`. */
export async function receiver(suite: Suite, key: PrivateKey, encapsulated: Bytes, info: Bytes): Promise<Context> {
  return Context.of(suite, await key.decapsulate(encapsulated), info);
}

/** Both sides' context after encapsulation. */
export class Context {
  readonly #id: Bytes;
  readonly #key: CryptoKey;
  readonly #nonce: Bytes;
  readonly #exporter: Bytes;

  private constructor(id: Bytes, key: CryptoKey, nonce: Bytes, exporter: Bytes) {
    this.#id = id;
    this.#key = key;
    this.#nonce = nonce;
    this.#exporter = exporter;
  }

  /** `KeySchedule` with mode 0 and no pre-shared key (section 5.1); forgets the shared secret. */
  static async of(suite: Suite, shared: Bytes, info: Bytes): Promise<Context> {
    const id = concat(ascii("HPKE"), u16s(suite.kemId, KDF_ID, AEAD_ID));
    const nothing = new Uint8Array();
    const pskIdHash = await labelledExtract(id, nothing, "psk_id_hash", nothing);
    const infoHash = await labelledExtract(id, nothing, "info_hash", info);
    const context = concat(Uint8Array.of(0), pskIdHash, infoHash);
    const secret = await labelledExtract(id, shared, "secret", nothing);
    const raw = await labelledExpand(id, secret, "key", context, 32);
    const key = await aesKey(raw);
    const nonce = await labelledExpand(id, secret, "base_nonce", context, 12);
    const exporter = await labelledExpand(id, secret, "exp", context, 32);
    for (const used of [shared, secret, raw]) used.fill(0);
    return new Context(id, key, nonce, exporter);
  }

  /** Seals the only message of this context. */
  seal(aad: Bytes, plaintext: Bytes): Promise<Bytes> {
    return aesSeal(this.#key, this.#nonce, aad, plaintext);
  }

  /** Opens the only message of this context; nothing where it was not sealed with it. */
  open(aad: Bytes, sealed: Bytes): Promise<Bytes | undefined> {
    return aesOpen(this.#key, this.#nonce, aad, sealed);
  }

  /** `Export(context, 32)`. */
  export(context: string): Promise<Bytes> {
    return labelledExpand(this.#id, this.#exporter, "sec", ascii(context), 32);
  }

  /** Overwrites what exports come from. */
  forget(): void {
    this.#exporter.fill(0);
  }
}

/** A key of AES-256-GCM that nobody reads out again. */
export function aesKey(key: Bytes): Promise<CryptoKey> {
  return subtle().importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
}

export async function aesSeal(key: CryptoKey, iv: Bytes, additionalData: Bytes, plaintext: Bytes): Promise<Bytes> {
  return new Uint8Array(await subtle().encrypt({ name: "AES-GCM", iv, additionalData }, key, plaintext));
}

/** The plaintext; nothing where it does not authenticate. */
export async function aesOpen(
  key: CryptoKey,
  iv: Bytes,
  additionalData: Bytes,
  sealed: Bytes,
): Promise<Bytes | undefined> {
  const platform = subtle();
  try {
    return new Uint8Array(await platform.decrypt({ name: "AES-GCM", iv, additionalData }, key, sealed));
  } catch {
    return undefined;
  }
}

/** What AES-256-GCM adds to a message, in bytes. */
export const TAG = 16;
