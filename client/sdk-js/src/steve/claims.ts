/** What an enclave says of its epoch key in the `user_data` of an attestation document. */

import { type Bytes, copyOf } from "../bytes.js";
import { fromBytes, insist, type Shape, toBytes } from "./cbor.js";

export interface EpochClaims {
  /** SHA-256 of the list of key configurations. */
  readonly keyConfigsHash: Bytes;
  /** Which running enclave this is: 16 random bytes made at boot. */
  readonly instance: Bytes;
  /** From when the key may be used, milliseconds since 1970. */
  readonly notBeforeMs: bigint;
  /** Until when, milliseconds since 1970. */
  readonly notAfterMs: bigint;
  /** SHA-256 of the manifest. */
  readonly manifestHash: Bytes;
  /** SHA-256 of the outer TLS certificate's public key, where TLS ends inside the enclave. */
  readonly tlsKeyHash: Bytes | null;
  /** Requests that are not encrypted are let through to the app. */
  readonly plaintextFallback: boolean;
  /** A page's bootstrap files are served without encryption. */
  readonly publicAssets: boolean;
}

/** The one form of these claims, deterministic CBOR of at most 196 bytes. */
export function encodeEpochClaims(claims: EpochClaims): Bytes {
  return toBytes(CLAIMS, claims);
}

/** The claims whose one form these bytes are; nothing where they are no claims. */
export function decodeEpochClaims(bytes: Uint8Array): EpochClaims | undefined {
  return bytes.length > MAX_CLAIMS ? undefined : fromBytes(CLAIMS, copyOf(bytes));
}

const CLAIMS: Shape<EpochClaims> = {
  write(claims, to) {
    to.map(claims.tlsKeyHash === null ? 7 : 8);
    to.uint(1).text(LABEL).uint(2).bytes(claims.keyConfigsHash).uint(3).bytes(claims.instance);
    to.uint(4).uint(claims.notBeforeMs).uint(5).uint(claims.notAfterMs).uint(6).bytes(claims.manifestHash);
    if (claims.tlsKeyHash !== null) to.uint(7).bytes(claims.tlsKeyHash);
    to.uint(8).uint((claims.plaintextFallback ? PLAINTEXT_FALLBACK : 0) | (claims.publicAssets ? PUBLIC_ASSETS : 0));
  },

  read(from) {
    const entries = from.map();
    insist(entries === 7 || entries === 8);
    from.key(1);
    insist(from.text() === LABEL);
    from.key(2);
    const keyConfigsHash = from.bytes(32);
    from.key(3);
    const instance = from.bytes(16);
    from.key(4);
    const notBeforeMs = from.u64();
    from.key(5);
    const notAfterMs = from.u64();
    from.key(6);
    const manifestHash = from.bytes(32);
    if (entries === 8) from.key(7);
    const tlsKeyHash = entries === 8 ? from.bytes(32) : null;
    from.key(8);
    const flags = from.u32();
    // A client does not accept what it does not understand.
    insist((flags & ~(PLAINTEXT_FALLBACK | PUBLIC_ASSETS)) === 0);

    return {
      keyConfigsHash,
      instance,
      notBeforeMs,
      notAfterMs,
      manifestHash,
      tlsKeyHash,
      plaintextFallback: (flags & PLAINTEXT_FALLBACK) !== 0,
      publicAssets: (flags & PUBLIC_ASSETS) !== 0,
    };
  },
};

/** The first value of all claims, so that they are nothing else's. */
const LABEL = "steve3-evidence";
const PLAINTEXT_FALLBACK = 1;
const PUBLIC_ASSETS = 2;
/** The longest claims, in bytes. */
const MAX_CLAIMS = 196;
