/** From a document to a verdict. */

import { type Bytes, concat, copyOf, equalInConstantTime, toHex } from "./bytes.js";
import { Chain } from "./chain.js";
import { refusal } from "./error.js";
import { parse, type Unverified, type UnverifiedFields } from "./evidence.js";
import { hexExcerpt } from "./excerpt.js";
import { isSignedBy } from "./p384.js";
import { type Archived, checkQuestion, isZero, type Live, type Question, readArchived, readLive } from "./policy.js";
import { compare, type Measurements, Verified } from "./verified.js";

/**
 * Authenticates the answer of a running enclave, then asks the questions, in the order of
 * `specs/attestation.md`: bytes, headers, chain, signature, validity, content, freshness, debug mode,
 * registers. The first failure is the answer; so what is refused as stale is authentic, and what is
 * refused as a mismatch is both authentic and fresh.
 *
 * Rejects with an `AttestationError` that says who is to blame, or with a `TypeError` for a question
 * that is none.
 */
export async function verify(document: Uint8Array, live: Live): Promise<Verified> {
  return check(copyOf(document), readLive(live));
}

/** The same for a document that was kept: at its own time, or at a given one, and of any age. */
export async function verifyArchived(document: Uint8Array, archived: Archived = {}): Promise<Verified> {
  return check(copyOf(document), readArchived(archived));
}

/** What a document says, for display. Nobody vouches for it: anybody can have written it. */
export function unverifiedFields(document: Uint8Array): UnverifiedFields {
  return parse(copyOf(document)).fields;
}

async function check(document: Bytes, question: Question): Promise<Verified> {
  const evidence = parse(document);
  checkQuestion(question);
  checkHeaders(evidence);
  const { fields } = evidence;

  const chain = await Chain.check(fields, question.roots);
  const structure = signatureStructure(evidence.payload);
  if (!(await isSignedBy(chain.leafKey, structure, evidence.signature))) throw refusal("DocumentSignature", {});
  // The document's own time is believed only now, when its signature is checked, by a certificate valid then.
  const at = question.at ?? fields.timestamp;
  chain.checkValidity(at);

  const measurements = checkContent(fields, chain);
  checkFreshness(fields, question, at);
  const isDebug = checkDebug(measurements, question.allowDebug);
  compare(fields.pcrs, question);

  const summaries = await chain.summaries();
  return new Verified(fields, {
    root: chain.root,
    chain: summaries,
    measurements,
    isDebug,
    checked: { call: question.call, at: Number(at) },
  });
}

/** Insists that headers say that the signature is one of ES384. */
function checkHeaders(evidence: Unverified): void {
  const found = toHex(evidence.protected);
  const isUnsigned = evidence.signature.length === 64 && evidence.signature.every((byte) => byte === 0);
  if (found === PROTECTED_QEMU && isUnsigned) throw refusal("UnsignedQemuDocument", {});
  if (found !== PROTECTED_ES384) throw refusal("ProtectedHeader", { found });
  const { length } = evidence.signature;
  if (length !== 96) throw refusal("SignatureLength", { found: length });
}

/** What every document must say, whoever asks. */
function checkContent(fields: UnverifiedFields, { leaf }: Chain): Measurements {
  if (fields.digest !== "SHA384") throw refusal("Digest", { found: fields.digest });
  if (fields.moduleId === "") throw refusal("EmptyModuleId", {});
  const { timestamp } = fields;
  const { notBefore: from, notAfter: until } = leaf.body;
  if (timestamp < from || timestamp > until) throw refusal("TimestampOutsideLeaf", { timestamp, from, until });
  const get = (register: number): string => {
    const value = fields.pcrs.get(register);
    if (value === undefined) throw refusal("MissingPcr", { register });
    return value;
  };
  return { pcr0: get(0), pcr1: get(1), pcr2: get(2) };
}

function checkFreshness(fields: UnverifiedFields, { nonce, maxAgeMs }: Question, at: number | bigint): void {
  const { timestamp } = fields;
  if (timestamp > BigInt(at) + CLOCK_SKEW_MS) throw refusal("FromTheFuture", { timestamp, at });
  if (nonce !== undefined) {
    if (fields.nonce === null) throw refusal("NonceMissing", {});
    if (!equalInConstantTime(nonce, fields.nonce)) {
      throw refusal("NonceMismatch", { expected: hexExcerpt(nonce), found: hexExcerpt(fields.nonce) });
    }
  }
  const ageMs = Math.max(0, Number(BigInt(at) - timestamp));
  if (maxAgeMs !== undefined && ageMs > maxAgeMs) throw refusal("TooOld", { ageMs, limitMs: maxAgeMs });
}

/** Whether it is a debug enclave's document. Nitro zeroes PCR0, PCR1 and PCR2 together. */
function checkDebug({ pcr0, pcr1, pcr2 }: Measurements, isAllowed: boolean): boolean {
  const zero = [pcr0, pcr1, pcr2].map(isZero);
  if (!zero.includes(true)) return false;
  if (zero.includes(false)) throw refusal("PartlyZero", { register: zero.indexOf(true) });
  if (!isAllowed) throw refusal("DebugMode", {});
  return true;
}

/** What the signature covers: `["Signature1", protected, h'', payload]` (RFC 9052 section 4.4). */
function signatureStructure(payload: Bytes): Bytes {
  const { length } = payload;
  // The payload's head in shortest form; the reader's limit keeps it within 16 bits.
  const head = length < 24 ? [0x40 | length] : length < 256 ? [0x58, length] : [0x59, length >> 8, length & 0xff];
  return concat(SIGNATURE1, Uint8Array.from(head), payload);
}

/** `{1: -35}`: algorithm ES384 (RFC 9053 section 2.1). */
const PROTECTED_ES384 = "a1013822";
/** `{1: -1}`: no algorithm. QEMU's `hw/virtio/virtio-nsm.c` writes it over 64 zero bytes. */
const PROTECTED_QEMU = "a10120";
/** An array of four: "Signature1", the protected header of ES384, no external data; the payload follows. */
const SIGNATURE1 = concat(
  Uint8Array.of(0x84, 0x6a),
  new TextEncoder().encode("Signature1"),
  Uint8Array.of(0x44, 0xa1, 0x01, 0x38, 0x22, 0x40),
);
/** How far a module's clock may be ahead of ours. */
const CLOCK_SKEW_MS = 300_000n;
