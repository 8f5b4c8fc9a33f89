/** Errors that only the enclave can have said. */

import { type Bytes, copyOf } from "../bytes.js";
import { fromBytes, insist, type Shape, toBytes } from "./cbor.js";
import { RecordError } from "./error.js";

/** What happened to a request, as it is called on the wire. */
export const SEALED_CODES = [
  /** The app does not take connections. */
  "upstream_unavailable",
  /** It did not answer in time. */
  "upstream_timeout",
  /** Its response was cut. */
  "upstream_truncated",
  /** Too many exchanges of this session at a time. */
  "busy",
  /** The request's head is no request. */
  "head_invalid",
  /** The request is longer than the deployment takes. */
  "too_large",
  /** The exchange was given up. */
  "reset",
] as const;

export type SealedCode = (typeof SEALED_CODES)[number];

/** What a server says inside the tunnel when it has no response. A client may believe it. */
export interface SealedError {
  readonly code: SealedCode;
  /** Whether the app may have acted on the request. */
  readonly executed: boolean;
  /** After how many seconds it is worth another try. */
  readonly retryAfterS: number | null;
}

/** The content of a record of kind `error`. */
export function encodeSealedError(error: SealedError): Bytes {
  return toBytes(SEALED_ERROR, error);
}

/** Reads such content; throws a `RecordError` (`MalformedError`). */
export function decodeSealedError(content: Uint8Array): SealedError {
  const error = content.length > MAX_ERROR ? undefined : fromBytes(SEALED_ERROR, copyOf(content));
  if (error === undefined) throw new RecordError("MalformedError", {});
  return error;
}

const SEALED_ERROR: Shape<SealedError> = {
  write({ code, executed, retryAfterS }, to) {
    to.map(retryAfterS === null ? 2 : 3);
    to.uint(1).text(code).uint(2).bool(executed);
    if (retryAfterS !== null) to.uint(3).uint(retryAfterS);
  },
  read(from) {
    const entries = from.map();
    insist(entries === 2 || entries === 3);
    from.key(1);
    const name = from.text();
    const code = SEALED_CODES.find((one) => one === name);
    insist(code !== undefined);
    from.key(2);
    const executed = from.bool();
    if (entries === 3) from.key(3);
    return { code, executed, retryAfterS: entries === 3 ? from.u32() : null };
  },
};

/** More than the longest error, in bytes. */
const MAX_ERROR = 64;
