/** From a bundle that a stranger sent to a key that an enclave vouches for. */

import { type Bytes, equal, toHex } from "../bytes.js";
import { AttestationError } from "../error.js";
import type { Expected } from "../policy.js";
import { decodeBundle } from "../steve/bundle.js";
import { decodeEpochClaims, type EpochClaims } from "../steve/claims.js";
import { decodeKeyConfigs, type KeyConfig } from "../steve/config.js";
import type { AttestedKey } from "../steve/handshake.js";
import { sha256 } from "../steve/kdf.js";
import type { SuiteName } from "../steve/suite.js";
import type { Verified } from "../verified.js";
import { verify, verifyArchived } from "../verify.js";
import { SteveError } from "./error.js";

/** What evidence is asked for. */
export interface Question {
  readonly authority: string;
  readonly expected: Expected;
  readonly suite: SuiteName;
  readonly allowPlaintextFallback: boolean;
  /** The challenge that was sent; none where the epoch's own document was asked for. */
  readonly nonce: Bytes | undefined;
  readonly now: number;
}

/** An enclave whose evidence holds. */
export interface Attested {
  readonly key: AttestedKey;
  readonly claims: EpochClaims;
  readonly verified: Verified;
  /** SHA-256 of the document, in hex. */
  readonly documentHash: string;
}

/** Answers the question from the bytes of a bundle; every step is fatal. Rejects with a `SteveError`. */
export async function examine(bytes: Bytes, question: Question): Promise<Attested> {
  const { authority, now } = question;
  const invalid = (cause: Error) => new SteveError("EVIDENCE_INVALID", { authority }, { cause });
  const bundle = decodeBundle(bytes);
  if (bundle === undefined) throw invalid(new Error("it is no bundle of STEVE's"));
  const verified = await authenticate(bundle.document, question);
  const claims = verified.userData === null ? undefined : decodeEpochClaims(verified.userData);
  if (claims === undefined) throw invalid(new Error("the document is genuine, and vouches for no key of STEVE's"));
  const keyConfigsHash = await sha256(bundle.keyConfigs);
  if (!equal(keyConfigsHash, claims.keyConfigsHash)) throw new SteveError("KEY_BINDING", { authority });
  if (now + CLOCK_SKEW_MS < Number(claims.notBeforeMs) || now > Number(claims.notAfterMs)) {
    const [from, until] = [claims.notBeforeMs, claims.notAfterMs].map((ms) => `${ms} ms`);
    const cause = new Error(`its keys are for ${from} to ${until} since 1970, and it is ${now} ms`);
    throw new SteveError("EVIDENCE_STALE", { authority }, { cause });
  }
  if (claims.plaintextFallback && !question.allowPlaintextFallback) {
    throw new SteveError("PLAINTEXT_FALLBACK_REFUSED", { authority });
  }
  const config = chosen(bundle.keyConfigs, question, invalid);
  const documentHash = toHex(await sha256(bundle.document));
  return { key: { config, keyConfigsHash, instance: claims.instance }, claims, verified, documentHash };
}

function chosen(list: Bytes, { authority, suite }: Question, invalid: (cause: Error) => SteveError): KeyConfig {
  let configs: readonly KeyConfig[];
  try {
    configs = decodeKeyConfigs(list);
  } catch (cause) {
    throw invalid(cause as Error);
  }
  const config = configs.find((one) => one.suite === suite);
  if (config !== undefined) return config;
  throw new SteveError("SUITE_MISMATCH", { authority, expected: suite, found: configs.map((one) => one.suite) });
}

async function authenticate(document: Bytes, { authority, expected, nonce, now }: Question): Promise<Verified> {
  try {
    if (nonce !== undefined) return await verify(document, { ...expected, nonce, now, maxAgeMs: MAX_AGE_MS });
    // The epoch's own document answers nobody in particular. What makes it fresh is its epoch, whose end is in the
    // claims, and that whoever answers the hello holds its key.
    return await verifyArchived(document, { ...expected, at: now });
  } catch (cause) {
    if (!(cause instanceof AttestationError)) throw cause;
    if (cause.is("PcrMismatch")) {
      throw new SteveError("PCR_POLICY_MISMATCH", { authority, registers: cause.values.registers }, { cause });
    }
    const isNonce = cause.is("NonceMissing") || cause.is("NonceMismatch");
    const name = isNonce ? "EVIDENCE_NONCE" : cause.blame === "stale" ? "EVIDENCE_STALE" : "EVIDENCE_INVALID";
    throw new SteveError(name, { authority }, { cause });
  }
}

/** How far an enclave's clock may be ahead of ours. */
const CLOCK_SKEW_MS = 2 * 60 * 1000;
/** How old the answer to a challenge of ours may be. */
const MAX_AGE_MS = 5 * 60 * 1000;
