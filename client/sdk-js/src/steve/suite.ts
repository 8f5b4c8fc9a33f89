/** The two suites. A deployment has one; nothing is negotiated. */

import type { Bytes } from "../bytes.js";

export type SuiteName = "x25519" | "xwing";

/** The numbers of a suite; lengths in bytes. */
export interface Suite {
  readonly name: SuiteName;
  /** HPKE's number of the KEM. */
  readonly kemId: number;
  readonly publicKeyLength: number;
  /** Length of what a sender encapsulates. */
  readonly encapsulatedLength: number;
}

/** The algorithms of a suite: what a client pins. */
export interface Kem {
  readonly suite: Suite;
  /** The private key of a seed of 32 random bytes. */
  privateKey(seed: Bytes): Promise<PrivateKey>;
  /** Encapsulates with 64 random bytes. A public key that no honest side makes is refused (`Key`). */
  encapsulate(publicKey: Bytes, random: Bytes): Promise<Encapsulation>;
}

export interface PrivateKey {
  readonly publicKey: Bytes;
  /** The shared secret of what a sender encapsulated to this key. */
  decapsulate(encapsulated: Bytes): Promise<Bytes>;
  /** Overwrites what of it lies in JavaScript's memory. */
  forget(): void;
}

export interface Encapsulation {
  readonly shared: Bytes;
  readonly encapsulated: Bytes;
}

/** Every suite, by name. */
export const SUITES: { readonly [Name in SuiteName]: Suite } = {
  // DHKEM(X25519, HKDF-SHA256), RFC 9180 section 4.1.
  x25519: { name: "x25519", kemId: 0x0020, publicKeyLength: 32, encapsulatedLength: 32 },
  // X-Wing, draft-connolly-cfrg-xwing-kem-10.
  xwing: { name: "xwing", kemId: 0x647a, publicKeyLength: 1216, encapsulatedLength: 1120 },
};

/** HPKE's number of HKDF-SHA256 (RFC 9180, table 3). */
export const KDF_ID = 0x0001;
/** HPKE's number of AES-256-GCM (RFC 9180, table 5). */
export const AEAD_ID = 0x0002;

/** Numbers of two bytes each, big-endian. */
export function u16s(...values: readonly number[]): Bytes {
  return Uint8Array.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}
