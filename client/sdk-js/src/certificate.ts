/**
 * X.509 certificates (RFC 5280), as far as a Nitro chain uses them.
 *
 * The reader keeps the signed bytes as they came: a signature is checked over the original, never
 * over a re-encoding.
 */

import { type Bytes, concat, equal, sha256, toHex } from "./bytes.js";
import { Der, DerError } from "./der.js";
import { type Position, refusal } from "./error.js";
import { hexExcerpt } from "./excerpt.js";
import { algorithm, apart, readCommonName } from "./names.js";
import { isPoint, isSignedBy, publicKey } from "./p384.js";

/** What a certificate of a verified chain says about itself. */
export interface CertificateSummary {
  /** The subject's common name; empty when it has none, control characters replaced. */
  readonly commonName: string;
  /** First moment of validity, milliseconds since 1970. */
  readonly notBefore: number;
  /** Last moment of validity, milliseconds since 1970. */
  readonly notAfter: number;
  /** SHA-256 of the DER form, in hex. */
  readonly sha256: string;
}

/** The extensions a path check looks at. */
export interface Extensions {
  isCa: boolean;
  /** How many CA certificates may stand between this one and the leaf. */
  pathLength: number | undefined;
  maySignCertificates: boolean;
  maySignData: boolean;
  /** The first critical extension that is none of the above. */
  unknownCritical: string | undefined;
}

interface Body {
  readonly signatureAlgorithm: Bytes;
  readonly issuer: Bytes;
  readonly subject: Bytes;
  readonly commonName: Bytes;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly keyAlgorithm: Bytes;
  readonly key: Bytes;
  readonly extensions: Extensions;
}

/** A certificate whose structure is read and whose claims are not yet checked. */
export class Certificate {
  readonly position: Position;
  readonly body: Body;
  readonly #der: Bytes;
  readonly #signed: Bytes;
  readonly #signature: Bytes;

  private constructor(position: Position, der: Bytes, signed: Bytes, signature: Bytes, body: Body) {
    this.position = position;
    this.body = body;
    this.#der = der;
    this.#signed = signed;
    this.#signature = signature;
  }

  /** Reads exactly one DER certificate of version 3. */
  static parse(der: Bytes, position: Position): Certificate {
    try {
      const reader = new Der(der);
      const [signed, outerAlgorithm, signature] = reader.sequence((r) => [r.element(), r.element(), r.octets()]);
      reader.finish();
      const body = new Der(signed).sequence((r) => readBody(r, position));
      if (!equal(body.signatureAlgorithm, outerAlgorithm)) {
        const [inside, outside] = [algorithm(body.signatureAlgorithm), algorithm(outerAlgorithm)];
        throw refusal("AlgorithmsDiffer", { position, inside, outside });
      }
      return new Certificate(position, der, signed, signature, body);
    } catch (error) {
      throw error instanceof DerError ? refusal("Der", { position, at: error.at }) : error;
    }
  }

  /** The subject's P-384 key. */
  async publicKey(): Promise<CryptoKey> {
    const { position } = this;
    const { keyAlgorithm, key } = this.body;
    if (toHex(keyAlgorithm) !== EC_P384) throw refusal("KeyAlgorithm", { position, found: algorithm(keyAlgorithm) });
    if (!isPoint(key)) throw refusal("KeyPoint", { position });
    return publicKey(key);
  }

  /** Insists that it is signed with ECDSA and SHA-384; says nothing about the signature. */
  checkAlgorithm(): void {
    const { signatureAlgorithm } = this.body;
    if (toHex(signatureAlgorithm) !== ECDSA_SHA384) {
      throw refusal("SignatureAlgorithm", { position: this.position, found: algorithm(signatureAlgorithm) });
    }
  }

  /** Insists that its issuer is the subject of `issuer`, byte for byte. */
  checkIssuer(issuer: Certificate): void {
    if (equal(this.body.issuer, issuer.body.subject)) return;
    const [found, expected] = apart(this.body.issuer, issuer.body.subject);
    throw refusal("IssuerName", { position: this.position, found, expected });
  }

  /** Insists that `issuer`'s key signed it. */
  async checkSignature(issuer: CryptoKey): Promise<void> {
    const signature = ecdsaSignature(this.#signature);
    const holds = signature !== undefined && (await isSignedBy(issuer, this.#signed, signature));
    if (!holds) throw refusal("Signature", { position: this.position });
  }

  async summary(): Promise<CertificateSummary> {
    const { commonName, notBefore, notAfter } = this.body;
    const name = new TextDecoder("utf-8", { ignoreBOM: true }).decode(commonName);
    return {
      commonName: name.replace(/\p{Cc}/gu, "\ufffd"),
      notBefore,
      notAfter,
      sha256: await sha256(this.#der),
    };
  }
}

/** `ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }` (RFC 5480), as the 96 bytes of WebCrypto. */
export function ecdsaSignature(der: Bytes): Bytes | undefined {
  try {
    const reader = new Der(der);
    const [r, s] = reader.sequence((inner) => [inner.unsigned(), inner.unsigned()]);
    reader.finish();
    if (r.length > 48 || s.length > 48) return undefined;
    return concat(new Uint8Array(48 - r.length), r, new Uint8Array(48 - s.length), s);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

/** `TBSCertificate` (RFC 5280 section 4.1). */
function readBody(r: Der, position: Position): Body {
  // Version 1 is the default and absent; extensions need version 3, which is encoded as 2.
  const hasVersion = !r.isFinished && (r.peek() & ~CONSTRUCTED) === VERSION;
  const version = hasVersion ? r.inside(VERSION | CONSTRUCTED, (inner) => inner.byte()) : 0;
  if (version !== 2) throw refusal("Version", { position, found: Math.min(version + 1, 255) });
  const serial = r.unsigned();
  if (serial.length === 1 && serial[0] === 0) throw r.error();
  if (serial.length > MAX_SERIAL) throw refusal("Serial", { position, found: hexExcerpt(serial) });
  const signatureAlgorithm = r.element();
  const issuer = r.element();
  const [notBefore, notAfter] = r.sequence((inner) => [inner.time(), inner.time()]);
  const subject = r.element();
  readCommonName(issuer);
  const commonName = readCommonName(subject) ?? new Uint8Array();
  const [keyAlgorithm, key] = r.sequence((inner) => [inner.element(), inner.octets()]);
  const extensions = readExtensions(r, position);
  return {
    signatureAlgorithm,
    issuer,
    subject,
    commonName,
    notBefore,
    notAfter,
    keyAlgorithm,
    key,
    extensions,
  };
}

/** `extensions [3] EXPLICIT SEQUENCE OF Extension`, absent or last. */
function readExtensions(r: Der, position: Position): Extensions {
  const found: Extensions = {
    isCa: false,
    pathLength: undefined,
    maySignCertificates: false,
    maySignData: false,
    unknownCritical: undefined,
  };
  if (r.isFinished) return found;
  const wrapper = r.any();
  if (wrapper.tag !== EXTENSIONS) throw refusal("UniqueIdentifier", { position, tag: wrapper.tag });
  const inside = new Der(wrapper.value);
  const seen = new Set<string>();
  inside.sequence((list) => {
    while (!list.isFinished) {
      const [oid, critical, value] = list.sequence((e) => [e.objectIdentifier(), e.trueOrAbsent(), e.octetString()]);
      if (seen.has(oid)) throw refusal("DuplicateExtension", { position, oid });
      seen.add(oid);
      readExtension(found, oid, critical, value);
    }
  });
  inside.finish();
  return found;
}

function readExtension(found: Extensions, oid: string, critical: boolean, value: Bytes): void {
  const reader = new Der(value);
  if (oid === BASIC_CONSTRAINTS) {
    reader.sequence((r) => {
      found.isCa = r.trueOrAbsent();
      found.pathLength = r.isFinished ? undefined : r.byte();
    });
    reader.finish();
  } else if (oid === KEY_USAGE) {
    const { unused, bytes } = reader.bitString();
    const bits = bytes.length * 8 - unused;
    const bit = (index: number) => index < bits && ((bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0;
    // RFC 5280 section 4.2.1.3: digitalSignature is bit 0, keyCertSign bit 5.
    found.maySignData = bit(0);
    found.maySignCertificates = bit(5);
    reader.finish();
  } else if (critical) {
    found.unknownCritical ??= oid;
  }
}

/** RFC 5280 section 4.1.2.2: at most 20 octets. */
const MAX_SERIAL = 20;

const CONSTRUCTED = 0x20;
/** Context-specific tags of `TBSCertificate`. */
const VERSION = 0x80;
const EXTENSIONS = 0xa3;

/** `AlgorithmIdentifier { ecdsa-with-SHA384 }`, RFC 5758. */
const ECDSA_SHA384 = "300a06082a8648ce3d040303";
/** `AlgorithmIdentifier { id-ecPublicKey, secp384r1 }`, RFC 5480. */
const EC_P384 = "301006072a8648ce3d020106052b81040022";

const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_USAGE = "2.5.29.15";
