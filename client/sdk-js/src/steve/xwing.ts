/**
 * X-Wing: ML-KEM-768 and X25519 together (draft-connolly-cfrg-xwing-kem-10).
 *
 * WebCrypto has no ML-KEM and no SHA-3 yet, so those come from `@noble`; X25519 stays WebCrypto's, which is
 * constant in time where JavaScript cannot be. Keys of ML-KEM here live for one handshake.
 */

import { sha3_256, shake256 } from "@noble/hashes/sha3.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { type Bytes, concat, copyOf } from "../bytes.js";
import { HandshakeError } from "./error.js";
import { ascii } from "./kdf.js";
import { type Encapsulation, type Kem, type PrivateKey, SUITES } from "./suite.js";
import { agree, pairOf } from "./x25519.js";

/** The suite `xwing`. */
export const xwing: Kem = {
  suite: SUITES.xwing,

  async privateKey(seed: Bytes): Promise<PrivateKey> {
    const expanded = copyOf(shake256(seed, { dkLen: 96 }));
    const lattice = ml_kem768.keygen(expanded.subarray(0, 64));
    const curve = await pairOf(expanded.subarray(64));
    expanded.fill(0);
    return {
      publicKey: concat(lattice.publicKey, curve.point),
      async decapsulate(encapsulated: Bytes): Promise<Bytes> {
        if (encapsulated.length !== SUITES.xwing.encapsulatedLength) throw refused("encapsulated key");
        const onCurve = encapsulated.subarray(CIPHERTEXT);
        const agreed = await agree(curve.scalar, onCurve, "encapsulated key");
        const shared = ml_kem768.decapsulate(encapsulated.subarray(0, CIPHERTEXT), lattice.secretKey);
        return combine(shared, agreed, onCurve, curve.point);
      },
      forget: () => void lattice.secretKey.fill(0),
    };
  },

  async encapsulate(publicKey: Bytes, random: Bytes): Promise<Encapsulation> {
    if (publicKey.length !== SUITES.xwing.publicKeyLength) throw refused("public key");
    const point = publicKey.subarray(PUBLIC_KEY);
    const curve = await pairOf(random.subarray(32));
    const agreed = await agree(curve.scalar, point, "public key");
    const { cipherText, sharedSecret } = toLattice(publicKey.subarray(0, PUBLIC_KEY), random.subarray(0, 32));
    return { shared: combine(sharedSecret, agreed, curve.point, point), encapsulated: concat(cipherText, curve.point) };
  },
};

/** Refuses coefficients outside the field (FIPS 203, section 7.2), the only thing that can be wrong. */
function toLattice(publicKey: Bytes, random: Bytes): ReturnType<typeof ml_kem768.encapsulate> {
  try {
    return ml_kem768.encapsulate(publicKey, random);
  } catch {
    throw refused("public key");
  }
}

/** The combiner (section 5.3); forgets what it combines. */
function combine(shared: Uint8Array, agreed: Bytes, encapsulated: Bytes, point: Bytes): Bytes {
  const all = concat(shared, agreed, encapsulated, point, LABEL);
  const combined = copyOf(sha3_256(all));
  for (const secret of [all, shared, agreed]) secret.fill(0);
  return combined;
}

function refused(what: string): HandshakeError {
  return new HandshakeError("Key", { what });
}

/** Bytes of ML-KEM-768 in front of those of X25519. */
const PUBLIC_KEY = 1184;
const CIPHERTEXT = 1088;
/** `\./` over `/^\`. */
const LABEL = ascii("\\.//^\\");
