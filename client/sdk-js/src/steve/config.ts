/** The attested key configurations. */

import { type Bytes, byteAt, concat, copyOf, equal } from "../bytes.js";
import { KeyConfigError, MAX_CONFIGS, MAX_KEY_CONFIGS } from "./error.js";
import { sha256 } from "./kdf.js";
import { AEAD_ID, KDF_ID, SUITES, type SuiteName, u16s } from "./suite.js";

/** A KEM key that an enclave offers for an epoch (`KeyConfig` of RFC 9458, section 3.1). */
export interface KeyConfig {
  /** Which of the enclave's keys this is, 0 to 255. */
  readonly keyId: number;
  /** What it is for. */
  readonly suite: SuiteName;
  readonly publicKey: Bytes;
}

/** `hdr7`: seven bytes that name a key and its algorithms, the first of a hello. */
export function headerOf(config: KeyConfig): Bytes {
  return concat(Uint8Array.of(config.keyId), u16s(SUITES[config.suite].kemId, KDF_ID, AEAD_ID));
}

/** `application/ohttp-keys` (RFC 9458, section 3): each configuration after its length. */
export function encodeKeyConfigs(configs: readonly KeyConfig[]): Bytes {
  return concat(
    ...configs.map(({ keyId, suite, publicKey }) =>
      concat(
        u16s(1 + 2 + publicKey.length + SYMMETRIC.length),
        Uint8Array.of(keyId),
        u16s(SUITES[suite].kemId),
        publicKey,
        SYMMETRIC,
      ),
    ),
  );
}

/** Reads what `encodeKeyConfigs` writes; throws a `KeyConfigError` for the whole list. */
export function decodeKeyConfigs(bytes: Uint8Array): readonly KeyConfig[] {
  if (bytes.length > MAX_KEY_CONFIGS) throw new KeyConfigError("TooLong", { length: bytes.length });
  const list = copyOf(bytes);
  const configs: KeyConfig[] = [];
  for (let at = 0; at < list.length; ) {
    const end = at + 2 + (at + 2 <= list.length ? u16At(list, at) : list.length);
    if (end > list.length) throw new KeyConfigError("Malformed", { at });
    const config = decode(list.subarray(at + 2, end), at, configs.length);
    if (configs.some((other) => other.keyId === config.keyId)) {
      throw new KeyConfigError("DuplicateId", { keyId: config.keyId });
    }
    if (configs.length === MAX_CONFIGS) throw new KeyConfigError("Count", { found: MAX_CONFIGS + 1 });
    configs.push(config);
    at = end;
  }
  if (configs.length === 0) throw new KeyConfigError("Count", { found: 0 });
  return configs;
}

/** SHA-256 of an encoded list, which evidence vouches for. */
export function keyConfigsHash(list: Uint8Array): Promise<Bytes> {
  return sha256(list);
}

/** One configuration that stands at `at`, the `index`th. */
function decode(bytes: Bytes, at: number, index: number): KeyConfig {
  if (bytes.length < 3) throw new KeyConfigError("Malformed", { at });
  const kemId = u16At(bytes, 1);
  const suite = Object.values(SUITES).find((one) => one.kemId === kemId);
  if (suite === undefined) throw new KeyConfigError("UnknownSuite", { index });
  const publicKey = bytes.slice(3, 3 + suite.publicKeyLength);
  const symmetric = bytes.subarray(3 + suite.publicKeyLength);
  if (symmetric.length !== SYMMETRIC.length || u16At(symmetric, 0) !== 4) throw new KeyConfigError("Malformed", { at });
  if (!equal(symmetric, SYMMETRIC)) throw new KeyConfigError("UnknownSuite", { index });
  return { keyId: byteAt(bytes, 0), suite: suite.name, publicKey };
}

function u16At(bytes: Bytes, at: number): number {
  return (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1);
}

/** The one pair of symmetric algorithms, after its length. */
const SYMMETRIC = u16s(4, KDF_ID, AEAD_ID);
