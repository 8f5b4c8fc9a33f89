/** HKDF-SHA256 (RFC 5869), and HPKE's labelled form of it (RFC 9180, section 4). */

import { type Bytes, concat } from "../bytes.js";
import { subtle } from "./platform.js";
import { u16s } from "./suite.js";

/** SHA-256 of the parts in a row. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(await subtle().digest("SHA-256", concat(...parts)));
}

/** Input of HKDF that nobody reads out again. Overwrites `secret`. */
export async function hkdfKey(secret: Bytes): Promise<CryptoKey> {
  const key = await subtle().importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  secret.fill(0);
  return key;
}

/** Extract and expand in one: the only form that browsers have. */
export async function hkdf(salt: Bytes, key: CryptoKey, info: Bytes, length: number): Promise<Bytes> {
  const how = { name: "HKDF", hash: "SHA-256", salt, info };
  return new Uint8Array(await subtle().deriveBits(how, key, length * 8));
}

/** HKDF-Extract, kept as a key of HMAC that nobody reads out again. Overwrites `secret`. */
export async function pseudorandomKey(salt: Bytes, secret: Bytes): Promise<CryptoKey> {
  const extracted = await hmac(await hmacKey(salt), secret);
  const key = await hmacKey(extracted);
  extracted.fill(0);
  secret.fill(0);
  return key;
}

/** HKDF-Expand to 32 bytes. Unlike `hkdf` it takes an `info` of any length: Node's has at most 1,024 bytes. */
export function expand(key: CryptoKey, info: Bytes): Promise<Bytes> {
  return hmac(key, concat(info, ONE));
}

/** `LabeledExtract(salt, label, ikm)` for one of HPKE's identifiers: `KEM…` or `HPKE…`. */
export async function labelledExtract(id: Bytes, salt: Bytes, label: string, ikm: Bytes): Promise<Bytes> {
  const message = concat(HPKE, id, ascii(label), ikm);
  const extracted = await hmac(await hmacKey(salt.length === 0 ? NO_SALT : salt), message);
  message.fill(0);
  return extracted;
}

/** `LabeledExpand(prk, label, info, length)`; all lengths of HPKE here are one block of SHA-256, at most. */
export async function labelledExpand(
  id: Bytes,
  prk: Bytes,
  label: string,
  info: Bytes,
  length: number,
): Promise<Bytes> {
  if (length > 32) throw new RangeError(`${length} bytes are more than one block`);
  const block = await expand(await hmacKey(prk), concat(u16s(length), HPKE, id, ascii(label), info));
  return block.subarray(0, length);
}

export function ascii(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}

function hmacKey(key: Bytes): Promise<CryptoKey> {
  return subtle().importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
}

async function hmac(key: CryptoKey, message: Bytes): Promise<Bytes> {
  return new Uint8Array(await subtle().sign("HMAC", key, message));
}

const HPKE = ascii("HPKE-v1");
/** WebCrypto takes no empty key of HMAC. Shorter keys are padded with zeros, so this is the same one. */
const NO_SALT = new Uint8Array(32);
/** The number of HKDF's first block. */
const ONE = Uint8Array.of(1);
