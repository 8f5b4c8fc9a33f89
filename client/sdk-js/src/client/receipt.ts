/** What was verified, for the record. */

import { type Bytes, toHex } from "../bytes.js";
import { isZero } from "../policy.js";
import type { RootKind } from "../roots.js";
import type { SuiteName } from "../steve/suite.js";
import type { Trust } from "./policy.js";
import type { Established } from "./session.js";

/** What stands behind an exchange: the evidence, who was trusted and why, and which exchange of which session it was. No secrets. */
export interface Receipt {
  readonly protocol: "steve3";
  readonly suite: SuiteName;
  /** Host and port. */
  readonly authority: string;
  /** Why the enclave was trusted. */
  readonly trust: Trust;
  /** Who vouches for the evidence. */
  readonly root: RootKind;
  /** The attested registers that are not zero, in hex. */
  readonly pcrs: Readonly<Record<number, string>>;
  /** Of the attestation document, in hex as all here. */
  readonly evidenceSha256: string;
  /** Of the manifest, as attested. It says where the source is. */
  readonly manifestSha256: string;
  /** Of the attested list of keys. */
  readonly keyConfigsSha256: string;
  /** Which running enclave it is. */
  readonly instance: string;
  /** Whether the enclave lets requests without encryption through to its app. */
  readonly plaintextFallback: boolean;
  readonly sessionId: string;
  /** The handshake: both sides have the same, or no session. */
  readonly transcriptSha256: string;
  /** Absent before there was one. */
  readonly exchange?: ExchangeReceipt;
}

/** One exchange. It is here when the response was there to its authentic end. */
export interface ExchangeReceipt {
  /** Its number in the session, from 1. */
  readonly number: number;
  /** Sealed bytes that were sent. */
  readonly sent: number;
  /** Sealed bytes that came. */
  readonly received: number;
}

export function receiptOf({ authority, attested, trust, session }: Established, exchange?: ExchangeReceipt): Receipt {
  const { claims, verified, documentHash } = attested;
  const receipt: Receipt = {
    protocol: "steve3",
    suite: session.suite,
    authority,
    trust,
    root: verified.root,
    pcrs: Object.fromEntries([...verified.pcrs].filter(([, value]) => !isZero(value))),
    evidenceSha256: documentHash,
    manifestSha256: toHex(claims.manifestHash),
    keyConfigsSha256: toHex(claims.keyConfigsHash),
    instance: toHex(claims.instance),
    plaintextFallback: claims.plaintextFallback,
    sessionId: toHex(session.id),
    transcriptSha256: toHex(session.transcriptHash),
  };
  return Object.freeze(exchange === undefined ? receipt : { ...receipt, exchange: Object.freeze(exchange) });
}

/** The number of the exchange with this header. */
export function numberOf(header: Bytes): number {
  return Number(new DataView(header.buffer, header.byteOffset).getBigUint64(17));
}
