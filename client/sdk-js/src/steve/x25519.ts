/** X25519 by WebCrypto, and as a KEM the way HPKE does it. */

import { type Bytes, concat } from "../bytes.js";
import { HandshakeError } from "./error.js";
import { ascii, labelledExpand, labelledExtract } from "./kdf.js";
import { PlatformError, subtle } from "./platform.js";
import { type Encapsulation, type Kem, type PrivateKey, SUITES, u16s } from "./suite.js";

/** The suite `x25519`: DHKEM(X25519, HKDF-SHA256), RFC 9180 section 4.1. */
export const x25519: Kem = {
  suite: SUITES.x25519,

  async privateKey(seed: Bytes): Promise<PrivateKey> {
    const { scalar, point } = await pairOf(seed);
    return {
      publicKey: point,
      async decapsulate(encapsulated: Bytes): Promise<Bytes> {
        return sharedSecret(await agree(scalar, encapsulated, "encapsulated key"), encapsulated, point);
      },
      // WebCrypto holds the scalar, and lets nobody read it.
      forget: () => undefined,
    };
  },

  async encapsulate(publicKey: Bytes, random: Bytes): Promise<Encapsulation> {
    const { scalar, point: encapsulated } = await pairOf(random.subarray(0, 32));
    const agreed = await agree(scalar, publicKey, "public key");
    return { shared: await sharedSecret(agreed, encapsulated, publicKey), encapsulated };
  },
};

/** A private scalar, and its public point. */
export interface Pair {
  readonly scalar: CryptoKey;
  readonly point: Bytes;
}

/** The pair of 32 random bytes. */
export async function pairOf(seed: Bytes): Promise<Pair> {
  const wrapped = concat(PKCS8, seed);
  try {
    const scalar = await subtle().importKey("pkcs8", wrapped, "X25519", false, ["deriveBits"]);
    return { scalar, point: await multiply(scalar, BASE_POINT) };
  } catch (cause) {
    // Any 32 bytes are a private key (RFC 7748, section 5): what fails here is the platform.
    throw cause instanceof PlatformError ? cause : new PlatformError("X25519", { cause });
  } finally {
    wrapped.fill(0);
  }
}

/** X25519; refuses points that give zero (RFC 7748, section 6.1). */
export async function agree(scalar: CryptoKey, point: Bytes, what: string): Promise<Bytes> {
  if (point.length !== 32) throw new HandshakeError("Key", { what });
  // WebCrypto refuses a result of zero by a failure, and can refuse nothing else of 32 bytes.
  const shared = await multiply(scalar, point).catch(() => new Uint8Array(32));
  if (shared.every((byte) => byte === 0)) throw new HandshakeError("Key", { what });
  return shared;
}

async function multiply(scalar: CryptoKey, point: Bytes): Promise<Bytes> {
  const key = await subtle().importKey("raw", point, "X25519", false, []);
  return new Uint8Array(await subtle().deriveBits({ name: "X25519", public: key }, scalar, 256));
}

/** `ExtractAndExpand` of DHKEM; forgets what was agreed. */
async function sharedSecret(agreed: Bytes, encapsulated: Bytes, publicKey: Bytes): Promise<Bytes> {
  const prk = await labelledExtract(KEM_ID, new Uint8Array(), "eae_prk", agreed);
  const shared = await labelledExpand(KEM_ID, prk, "shared_secret", concat(encapsulated, publicKey), 32);
  agreed.fill(0);
  prk.fill(0);
  return shared;
}

const KEM_ID = concat(ascii("KEM"), u16s(SUITES.x25519.kemId));
/** What stands in front of a private key of X25519 in PKCS #8 (RFC 8410, section 7), the only form all platforms read. */
const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20);
/** The point whose multiple is a public key (RFC 7748, section 6.1). */
const BASE_POINT = Uint8Array.of(9, ...new Uint8Array(31));
