/** What an enclave shows of an epoch: its keys, and the document that vouches for them. */

import { type Bytes, copyOf } from "../bytes.js";
import { fromBytes, insist, type Shape, toBytes } from "./cbor.js";

export interface Bundle {
  /** The list of key configurations, encoded. */
  readonly keyConfigs: Bytes;
  /** The attestation document, `COSE_Sign1`. */
  readonly document: Bytes;
}

/** The one form of a bundle, deterministic CBOR. */
export function encodeBundle(bundle: Bundle): Bytes {
  return toBytes(BUNDLE, bundle);
}

/** The bundle whose one form these bytes are; nothing where they are none. */
export function decodeBundle(bytes: Uint8Array): Bundle | undefined {
  return bytes.length > MAX_BUNDLE ? undefined : fromBytes(BUNDLE, copyOf(bytes));
}

const BUNDLE: Shape<Bundle> = {
  write({ keyConfigs, document }, to) {
    to.map(3).uint(1).text(LABEL).uint(2).bytes(keyConfigs).uint(3).bytes(document);
  },
  read(from) {
    insist(from.map() === 3);
    from.key(1);
    insist(from.text() === LABEL);
    from.key(2);
    const keyConfigs = from.bytes();
    from.key(3);
    return { keyConfigs, document: from.bytes() };
  },
};

const LABEL = "steve3";
/** The longest bundle, in bytes. */
export const MAX_BUNDLE = 32 * 1024;
