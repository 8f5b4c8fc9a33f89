/** Every refusal, by name. `specs/attestation.md` lists them; Rust's `caution-attest` has the same. */

import { escaped } from "./excerpt.js";

/** Who can do something about a refusal. */
export type Blame = "malformed" | "untrusted" | "stale" | "mismatch" | "debug" | "misuse";

/** Where in a document a certificate stands: `cabundle[n]`, of which 0 is the root, or `certificate`. */
export type Position = number | "leaf";

/** One register that is not what it should be; `actual` is `null` when the document does not have it. */
export interface Mismatch {
  readonly register: number;
  readonly expected: string;
  readonly actual: string | null;
}

/**
 * What each refusal carries. Offsets are in bytes, times in milliseconds since 1970. A document's bytes and names are
 * excerpts, short and printable; `specs/attestation.md` says how they are made.
 */
export interface RefusalValues {
  ZeroExpectation: { register: number };
  EmptyNonce: object;
  TooLong: { found: number; limit: number };
  Truncated: { at: number };
  UnexpectedType: { at: number; expected: string; found: string };
  NotShortest: { at: number };
  ReservedHead: { at: number; found: number };
  IndefiniteLength: { at: number };
  NotUtf8: { at: number; field: string };
  TrailingBytes: { at: number; count: number; after: string };
  Tag: { found: bigint };
  CoseLength: { found: bigint };
  UnprotectedHeader: { at: number; found: string };
  FieldTooLong: { field: string; found: bigint; limit: number };
  TooManyEntries: { field: string; limit: bigint };
  DuplicateField: { field: string };
  UnknownField: { field: string };
  MissingField: { field: string };
  NitroTpm: object;
  PcrIndex: { found: bigint };
  DuplicatePcr: { register: number };
  PcrLength: { register: number; found: number };
  EmptyCabundle: object;
  UnsignedQemuDocument: object;
  ProtectedHeader: { found: string };
  SignatureLength: { found: number };
  UnknownRoot: { sha256: string };
  Der: { position: Position; at: number };
  Version: { position: Position; found: number };
  Serial: { position: Position; found: string };
  AlgorithmsDiffer: { position: Position; inside: string; outside: string };
  UniqueIdentifier: { position: Position; tag: number };
  DuplicateExtension: { position: Position; oid: string };
  SignatureAlgorithm: { position: Position; found: string };
  UnknownCriticalExtension: { position: Position; oid: string };
  NotCa: { position: Position };
  NoCertSign: { position: Position };
  PathLength: { position: Position; allowed: number; found: number };
  LeafIsCa: { position: Position };
  NoDigitalSignature: { position: Position };
  KeyAlgorithm: { position: Position; found: string };
  KeyPoint: { position: Position };
  IssuerName: { position: Position; found: string; expected: string };
  Signature: { position: Position };
  DocumentSignature: object;
  NotYetValid: { position: Position; from: number; at: number | bigint };
  Expired: { position: Position; until: number; at: number | bigint };
  Digest: { found: string };
  EmptyModuleId: object;
  TimestampOutsideLeaf: { timestamp: bigint; from: number; until: number };
  MissingPcr: { register: number };
  FromTheFuture: { timestamp: bigint; at: number | bigint };
  NonceMissing: object;
  NonceMismatch: { expected: string; found: string };
  TooOld: { ageMs: number; limitMs: number };
  DebugMode: object;
  PartlyZero: { register: number };
  /** Of several images the differences to the closest; `profiles`: how many were expected, 0 where it is one of them. */
  PcrMismatch: { registers: readonly Mismatch[]; profiles: number };
}

/** The stable name of a refusal. */
export type RefusalName = keyof RefusalValues;

/** Why a document is refused. The message is a fragment for people; `name` is for programs. */
export class AttestationError<Name extends RefusalName = RefusalName> extends Error {
  override readonly name: Name;
  readonly blame: Blame;
  readonly values: Readonly<RefusalValues[Name]>;

  constructor(name: Name, values: RefusalValues[Name]) {
    super(REFUSALS[name].message(values));
    this.name = name;
    this.blame = REFUSALS[name].blame;
    this.values = values;
  }

  /** Whether it is the refusal of this name, with its values. */
  is<Wanted extends RefusalName>(name: Wanted): this is AttestationError<Wanted> {
    return (this.name as RefusalName) === name;
  }
}

export function refusal<Name extends RefusalName>(name: Name, values: RefusalValues[Name]): AttestationError<Name> {
  return new AttestationError(name, values);
}

type Refusals = {
  readonly [Name in RefusalName]: {
    readonly blame: Blame;
    readonly message: (values: RefusalValues[Name]) => string;
  };
};

/** A certificate's refusal says which certificate. */
function certificate<Values extends { position: Position }>(blame: Blame, cause: (values: Values) => string) {
  return { blame, message: (v: Values) => `${nameOf(v.position)} is refused: ${cause(v)}` };
}

function said<Values>(blame: Blame, message: (values: Values) => string) {
  return { blame, message };
}

const REFUSALS: Refusals = {
  ZeroExpectation: said(
    "misuse",
    (v) => `the expected value of PCR${v.register} is zero, which only a debug enclave has`,
  ),
  EmptyNonce: said("misuse", () => "an empty nonce challenges nothing"),
  TooLong: said("malformed", (v) => `${v.found} bytes are too many for an attestation document (at most ${v.limit})`),
  Truncated: said("malformed", (v) => `the document ends at byte ${v.at}, inside an item`),
  UnexpectedType: said("malformed", (v) => `byte ${v.at}: expected ${v.expected}, found ${v.found}`),
  NotShortest: said("malformed", (v) => `byte ${v.at}: a number is not in its shortest form`),
  ReservedHead: said("malformed", (v) => `byte ${v.at}: ${hexByte(v.found)} starts no CBOR item`),
  IndefiniteLength: said("malformed", (v) => `byte ${v.at}: strings and arrays must say their length`),
  NotUtf8: said("malformed", (v) => `byte ${v.at}: ${v.field} is not UTF-8`),
  TrailingBytes: said("malformed", (v) => `byte ${v.at}: ${v.count} more bytes follow ${v.after}`),
  Tag: said("malformed", (v) => `CBOR tag ${v.found} is not that of COSE_Sign1 (18)`),
  CoseLength: said("malformed", (v) => `a COSE_Sign1 array has 4 elements, this one ${v.found}`),
  UnprotectedHeader: said(
    "malformed",
    (v) => `the unprotected header is not the empty map (a0): from byte ${v.at} on stands ${v.found}`,
  ),
  FieldTooLong: said("malformed", (v) => `${v.field} is ${v.found} bytes long, at most ${v.limit} are read`),
  TooManyEntries: said("malformed", (v) => `${v.field} has more than ${v.limit} entries`),
  DuplicateField: said("malformed", (v) => `the field \`${v.field}\` stands in the payload twice`),
  UnknownField: said("malformed", (v) => `the payload has an unknown field \`${escaped(v.field)}\``),
  MissingField: said("malformed", (v) => `the payload lacks the field \`${v.field}\``),
  NitroTpm: said(
    "malformed",
    () =>
      "this is a NitroTPM document, about a whole EC2 instance and not an enclave; such documents are not supported",
  ),
  PcrIndex: said("malformed", (v) => `${v.found} is not a PCR number (0 to 31)`),
  DuplicatePcr: said("malformed", (v) => `PCR${v.register} stands in the payload twice`),
  PcrLength: said("malformed", (v) => `PCR${v.register} is ${v.found} bytes long, a SHA-384 register has 48`),
  EmptyCabundle: said("malformed", () => "the certificate bundle is empty"),
  UnsignedQemuDocument: said(
    "untrusted",
    () => "QEMU's nitro-enclave machine made this document and did not sign it, so it proves nothing",
  ),
  ProtectedHeader: said("untrusted", (v) => `the protected header is ${v.found}, not that of ES384 (a1013822)`),
  SignatureLength: said("malformed", (v) => `the signature is ${v.found} bytes long, one of ES384 has 96`),
  UnknownRoot: said("untrusted", (v) => `the chain starts at a root that is not trusted (SHA-256 ${v.sha256})`),
  Der: certificate("malformed", (v) => `it is not valid DER (at byte ${v.at} of the part being read)`),
  Version: certificate("malformed", (v) => `it has X.509 version ${v.found}, not 3`),
  Serial: certificate("malformed", (v) => `its serial number is longer than 20 bytes: ${v.found}`),
  AlgorithmsDiffer: certificate(
    "malformed",
    (v) =>
      `it names two different signature algorithms, ${v.inside} where it is signed and ${v.outside} beside the signature`,
  ),
  UniqueIdentifier: certificate(
    "malformed",
    (v) => `it has a field that RFC 5280 forbids (a unique identifier, tag ${hexByte(v.tag)})`,
  ),
  DuplicateExtension: certificate("malformed", (v) => `its extension ${v.oid} stands in it twice`),
  SignatureAlgorithm: certificate(
    "untrusted",
    (v) => `it is signed with ${v.found}, not with ECDSA and SHA-384 (1.2.840.10045.4.3.3)`,
  ),
  UnknownCriticalExtension: certificate(
    "untrusted",
    (v) => `it has the critical extension ${v.oid}, which is not understood`,
  ),
  NotCa: certificate("untrusted", () => "it issued a certificate and is not a certificate authority"),
  NoCertSign: certificate("untrusted", () => "its key usage does not allow signing certificates"),
  PathLength: certificate(
    "untrusted",
    (v) => `it allows ${v.allowed} certificate authorities below it, ${v.found} follow`,
  ),
  LeafIsCa: certificate("untrusted", () => "it is a certificate authority's"),
  NoDigitalSignature: certificate("untrusted", () => "its key usage does not allow signing documents"),
  KeyAlgorithm: certificate(
    "untrusted",
    (v) => `its key is one of ${v.found}, not an elliptic-curve key on P-384 (1.2.840.10045.2.1 with 1.3.132.0.34)`,
  ),
  KeyPoint: certificate("untrusted", () => "its key is not an uncompressed point of P-384"),
  IssuerName: certificate(
    "untrusted",
    (v) => `its issuer is ${v.found}, not the subject of the certificate before it, ${v.expected}`,
  ),
  Signature: certificate("untrusted", () => "its signature is not by the certificate before it"),
  DocumentSignature: said("untrusted", () => "the document's signature is not by the enclave's certificate"),
  NotYetValid: said(
    "stale",
    (v) => `${nameOf(v.position)} is valid from ${date(v.from)}, and the time of checking is ${date(v.at)}`,
  ),
  Expired: said(
    "stale",
    (v) => `${nameOf(v.position)} expired at ${date(v.until)}, and the time of checking is ${date(v.at)}`,
  ),
  Digest: said("malformed", (v) => `the digest is \`${escaped(v.found)}\`, not \`SHA384\``),
  EmptyModuleId: said("malformed", () => "the module identifier is empty"),
  TimestampOutsideLeaf: said(
    "stale",
    (v) =>
      `the document says ${date(v.timestamp)}, outside the validity of its certificate (${date(v.from)} to ${date(v.until)})`,
  ),
  MissingPcr: said("malformed", (v) => `the document lacks PCR${v.register}`),
  FromTheFuture: said(
    "stale",
    (v) => `the document says ${date(v.timestamp)}, which is after the time of checking, ${date(v.at)}`,
  ),
  NonceMissing: said("stale", () => "the document carries no nonce, so it may be a replay"),
  NonceMismatch: said(
    "stale",
    (v) => `the document carries the nonce ${v.found}, not ours (${v.expected}), so it may be a replay`,
  ),
  TooOld: said("stale", (v) => `the document is ${v.ageMs} ms old, at most ${v.limitMs} are accepted`),
  DebugMode: said(
    "debug",
    () => "the enclave runs in debug mode: its registers are zero and its console is open to its host",
  ),
  PartlyZero: said(
    "debug",
    (v) => `PCR${v.register} is zero and others of PCR0 to PCR2 are not, which no enclave shows`,
  ),
  PcrMismatch: said("mismatch", ({ registers, profiles }) => {
    const several = profiles > 1 ? `it is none of the ${profiles} pinned images; closest: ` : "";
    return several + registers.map(mismatch).join("; ");
  }),
};

/** All names, in the order of `specs/attestation.md`. */
export const REFUSAL_NAMES: readonly RefusalName[] = Object.keys(REFUSALS) as RefusalName[];

function mismatch({ register, expected, actual }: Mismatch): string {
  return `PCR${register} is ${actual ?? "absent"}, expected ${expected}`;
}

function nameOf(position: Position): string {
  if (position === "leaf") return "the enclave's certificate";
  if (position === 0) return "the root certificate (cabundle[0])";
  return `the issuing certificate cabundle[${position}]`;
}

/** RFC 3339 in UTC, to the second. */
function date(millis: number | bigint): string {
  // After the year 9999; only a hostile document gets here.
  if (millis > LAST_MILLIS) return `${millis} ms after 1970`;
  return `${new Date(Number(millis)).toISOString().slice(0, 19)}Z`;
}

function hexByte(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}

/** The last millisecond of the year 9999. */
const LAST_MILLIS = 253_402_300_799_999;
