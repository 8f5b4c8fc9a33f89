/** ECDSA on P-384 with SHA-384, by WebCrypto. */

import { type Bytes, toHex } from "./bytes.js";

/**
 * Whether these are an uncompressed point of the curve: 0x04, x, y (SEC 1 section 2.3.3). Asked here
 * because implementations of WebCrypto differ in when they look.
 */
export function isPoint(bytes: Bytes): boolean {
  if (bytes.length !== 97 || bytes[0] !== 4) return false;
  const x = number(bytes.subarray(1, 49));
  const y = number(bytes.subarray(49));
  return x < P && y < P && (y * y - (x * x * x - 3n * x + B)) % P === 0n;
}

/** The public key that is this point. */
export function publicKey(point: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", point, { name: "ECDSA", namedCurve: "P-384" }, false, ["verify"]);
}

/** Whether `signature`, r and s of 48 bytes each, is the key's over `message`. */
export function isSignedBy(key: CryptoKey, message: Bytes, signature: Bytes): Promise<boolean> {
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-384" }, key, signature, message);
}

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes)}`);
}

/** FIPS 186-4 D.1.2.4: y² = x³ - 3x + B modulo P. */
const P = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n;
const B = 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn;
