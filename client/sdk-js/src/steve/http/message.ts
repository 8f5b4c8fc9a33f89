/**
 * Messages inside the tunnel: binary HTTP (RFC 9292) in its indeterminate-length form, checked so that nothing
 * in it means something else to the next reader.
 */

import { type Bytes, utf8 } from "../../bytes.js";
import { MAX_FIELDS, MessageError } from "../error.js";

/** Names and values, in order, duplicates kept. */
export type Fields = readonly (readonly [name: string, value: Uint8Array])[];

/** A request without its content. */
export interface RequestHead {
  /** A token: `GET`. */
  readonly method: string;
  /** `https`. */
  readonly scheme: string;
  /** Host and port: visible ASCII, not empty. */
  readonly authority: string;
  /** Path and query in origin form, beginning with `/`, or `*` of OPTIONS: visible ASCII. */
  readonly path: string;
  readonly fields: Fields;
}

/** A response without its content. */
export interface ResponseHead {
  /** 100 to 199 of an informational one, which others follow, else 200 to 599. */
  readonly status: number;
  readonly fields: Fields;
}

/** A part of a message. */
export type Part =
  | { readonly type: "request"; readonly head: RequestHead }
  | { readonly type: "response"; readonly head: ResponseHead }
  /** Content, as much as came. */
  | { readonly type: "content"; readonly content: Bytes }
  /** The end of the message. */
  | { readonly type: "end"; readonly trailers: Fields };

/** Refuses what is no request, or means different things to different readers: the length of its content. */
export function checkRequest({ method, scheme, authority, path, fields }: RequestHead): bigint | undefined {
  const wrong = (what: string) => new MessageError("Control", { what });
  if (!TOKEN.test(method)) throw wrong("method");
  if (scheme !== "https") throw wrong("scheme");
  if (!AUTHORITY.test(authority)) throw wrong("authority");
  if (!PATH.test(path) && !(path === "*" && method === "OPTIONS")) throw wrong("path");
  checkFields(fields);
  return contentLength(fields);
}

/** Refuses what is no response. */
export function checkResponse({ status, fields }: ResponseHead): void {
  if (!(Number.isInteger(status) && status >= 100 && status < 600)) {
    throw new MessageError("Status", { found: status });
  }
  checkFields(fields);
  contentLength(fields);
}

/** Another response follows. */
export function isInformational({ status }: ResponseHead): boolean {
  return status < 200;
}

/** Refuses malformed fields and those of a connection. */
export function checkFields(fields: Fields): void {
  if (fields.length > MAX_FIELDS) throw new MessageError("TooManyFields", {});
  for (const [name, value] of fields) checkField(name, value);
}

function checkField(field: string, value: Uint8Array): void {
  if (!TOKEN.test(field) || /[A-Z]/.test(field)) throw new MessageError("FieldName", {});
  const isBlank = (byte: number | undefined) => byte === SPACE || byte === TAB;
  const isControl = (byte: number) => (byte < SPACE && byte !== TAB) || byte === DELETE;
  if (value.some(isControl) || isBlank(value[0]) || isBlank(value.at(-1))) {
    throw new MessageError("FieldValue", { field });
  }
  const isOfConnection = OF_A_CONNECTION.includes(field);
  if (isOfConnection || (field === "te" && utf8(value)?.toLowerCase() !== "trailers")) {
    throw new MessageError("ConnectionField", { field });
  }
}

/** The declared length of the content, where there is one; only one may be. */
function contentLength(fields: Fields): bigint | undefined {
  const [first, ...others] = fields.filter(([name]) => name === "content-length");
  if (first === undefined) return undefined;
  const digits = utf8(first[1]);
  if (others.length > 0 || digits === undefined || !/^[0-9]+$/.test(digits))
    throw new MessageError("ContentLength", {});
  const length = BigInt(digits);
  if (length >= 1n << 64n) throw new MessageError("ContentLength", {});
  return length;
}

/** What stands in front of an indeterminate-length message (RFC 9292, section 3.3). */
export const FRAMING = { request: 2, response: 3 } as const;

/** `token` of RFC 9110, section 5.6.2. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** Visible ASCII without `@`. */
const AUTHORITY = /^[!-?A-~]+$/;
/** Visible ASCII without `#`. */
const PATH = /^\/[!"$-~]*$/;
const SPACE = 0x20;
const TAB = 0x09;
const DELETE = 0x7f;
/** Fields that hold for one connection (RFC 9110, section 7.6.1): each hop has its own. */
const OF_A_CONNECTION = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
