/** Reading a document: bytes to fields, nothing believed. */

import { type Bytes, toHex } from "./bytes.js";
import { Reader } from "./cbor.js";
import { refusal } from "./error.js";
import { hexExcerpt } from "./excerpt.js";

/** What a document says. Before verification anybody can have written it. */
export interface UnverifiedFields {
  /** The module's name: `i-<instance>-enc<enclave>`. */
  readonly moduleId: string;
  /** When the document was signed, by the module's clock, in milliseconds since 1970. */
  readonly timestamp: bigint;
  /** The registers' hash function, always `SHA384`. */
  readonly digest: string;
  /** The registers present, in hex. */
  readonly pcrs: ReadonlyMap<number, string>;
  /** The DER certificate whose key signs the document. */
  readonly certificate: Bytes;
  /** DER certificates, root first, issuer of `certificate` last. */
  readonly cabundle: readonly Bytes[];
  /** A key the enclave wants to be known by. */
  readonly publicKey: Bytes | null;
  /** What the enclave's program has to say. */
  readonly userData: Bytes | null;
  /** The challenge the document answers. */
  readonly nonce: Bytes | null;
}

/** A document's parts: the COSE_Sign1 structure and what its payload says. */
export interface Unverified {
  readonly protected: Bytes;
  readonly payload: Bytes;
  readonly signature: Bytes;
  readonly fields: UnverifiedFields;
}

/**
 * Reads a document: an untagged or tagged (18) COSE_Sign1 structure around Nitro's payload.
 * Certificates are not looked into.
 */
export function parse(document: Bytes): Unverified {
  if (document.length > LIMITS.document) {
    throw refusal("TooLong", { found: document.length, limit: LIMITS.document });
  }
  const cose = new Reader(document, 0);
  if ((cose.peek() ?? 0) >> 5 === 6) {
    const found = cose.tag();
    if (found !== 18n) throw refusal("Tag", { found });
  }
  const elements = cose.array();
  if (elements !== 4n) throw refusal("CoseLength", { found: elements });
  const protectedHeader = cose.bytes("the protected header", LIMITS.protected);
  // The unprotected header: exactly `a0`, so that nothing unsigned is ever carried along.
  if (cose.peek() !== 0xa0) throw refusal("UnprotectedHeader", { at: cose.offset, found: hexExcerpt(cose.rest) });
  cose.map("the unprotected header", 0n);
  const payload = cose.bytes("the payload", LIMITS.document);
  const payloadAt = cose.offset - payload.length;
  const signature = cose.bytes("the signature", LIMITS.signature);
  cose.finish("the document");
  return { protected: protectedHeader, payload, signature, fields: readPayload(payload, payloadAt) };
}

/** The payload's fields while they are being found; a field that is null was there. */
type Found = { -readonly [Field in keyof UnverifiedFields]?: UnverifiedFields[Field] };

function readPayload(payload: Bytes, base: number): UnverifiedFields {
  const cbor = new Reader(payload, base);
  const found: Found = {};
  const entries = cbor.map("the payload", LIMITS.fields);
  while (cbor.another(entries)) readEntry(cbor, found);
  cbor.finish("the payload");
  return {
    moduleId: required(found.moduleId, "module_id"),
    timestamp: required(found.timestamp, "timestamp"),
    digest: required(found.digest, "digest"),
    pcrs: required(found.pcrs, "pcrs"),
    certificate: required(found.certificate, "certificate"),
    cabundle: required(found.cabundle, "cabundle"),
    publicKey: found.publicKey ?? null,
    userData: found.userData ?? null,
    nonce: found.nonce ?? null,
  };
}

function readEntry(cbor: Reader, found: Found): void {
  const field = cbor.text("a field name", LIMITS.fieldName);
  switch (field) {
    case "module_id":
      set(found, "moduleId", field, cbor.text(field, LIMITS.moduleId));
      break;
    case "timestamp":
      set(found, "timestamp", field, cbor.uint());
      break;
    case "digest":
      set(found, "digest", field, cbor.text(field, LIMITS.digest));
      break;
    case "pcrs":
      set(found, "pcrs", field, readPcrs(cbor));
      break;
    case "certificate":
      set(found, "certificate", field, cbor.bytes(field, LIMITS.certificate));
      break;
    case "cabundle":
      set(found, "cabundle", field, readCabundle(cbor));
      break;
    case "public_key":
      set(found, "publicKey", field, cbor.optionalBytes(field, LIMITS.callerField));
      break;
    case "user_data":
      set(found, "userData", field, cbor.optionalBytes(field, LIMITS.callerField));
      break;
    case "nonce":
      set(found, "nonce", field, cbor.optionalBytes(field, LIMITS.callerField));
      break;
    case "nitrotpm_pcrs":
      throw refusal("NitroTpm", {});
    default:
      throw refusal("UnknownField", { field });
  }
}

function set<Key extends keyof Found>(found: Found, key: Key, field: string, value: Found[Key]): void {
  if (found[key] !== undefined) throw refusal("DuplicateField", { field });
  found[key] = value;
}

function required<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw refusal("MissingField", { field });
  return value;
}

function readPcrs(cbor: Reader): ReadonlyMap<number, string> {
  const pcrs = new Map<number, string>();
  const entries = cbor.map("pcrs", LIMITS.pcrs);
  while (cbor.another(entries)) {
    const found = cbor.uint();
    if (found > 31n) throw refusal("PcrIndex", { found });
    const register = Number(found);
    const value = cbor.bytes("a register", LIMITS.callerField);
    if (value.length !== 48) throw refusal("PcrLength", { register, found: value.length });
    if (pcrs.has(register)) throw refusal("DuplicatePcr", { register });
    pcrs.set(register, toHex(value));
  }
  return pcrs;
}

function readCabundle(cbor: Reader): readonly Bytes[] {
  const count = cbor.array();
  if (count === 0n) throw refusal("EmptyCabundle", {});
  if (count > LIMITS.cabundle) throw refusal("TooManyEntries", { field: "cabundle", limit: LIMITS.cabundle });
  const read = () => cbor.bytes("a certificate of cabundle", LIMITS.certificate);
  return Array.from({ length: Number(count) }, read);
}

/** What is read at most, in bytes unless it says otherwise; `specs/attestation.md` says why. */
const LIMITS = {
  document: 16 * 1024,
  certificate: 1024,
  /** In certificates. */
  cabundle: 8n,
  /** Each of `user_data`, `nonce` and `public_key`. */
  callerField: 1024,
  moduleId: 256,
  digest: 32,
  protected: 64,
  signature: 256,
  /** The name of a field. */
  fieldName: 64,
  /** The payload, in fields. */
  fields: 16n,
  /** In registers. */
  pcrs: 32n,
} as const;
