/** Bytes in, parts of a message out. */

import { type Bytes, utf8 } from "../../bytes.js";
import { MAX_FIELDS, MAX_HEAD, MessageError } from "../error.js";
import { readVarint } from "../varint.js";
import { Waiting } from "../waiting.js";
import {
  checkFields,
  checkRequest,
  checkResponse,
  type Fields,
  FRAMING,
  isInformational,
  type Part,
  type RequestHead,
  type ResponseHead,
} from "./message.js";

/** What comes next; a number is so many bytes of content. */
type State = "framing" | "head" | "contentLength" | number | "trailers" | "ended";

/** Reads one message from bytes that come in any pieces. */
export class Decoder {
  readonly #of: "request" | "response";
  readonly #waiting = new Waiting();
  #state: State = "framing";
  /** What the request says its content has, and has not come yet. */
  #declared: bigint | undefined;

  constructor(of: "request" | "response") {
    this.#of = of;
  }

  /** Takes bytes. Call `next` until there is none before the next: so no more than these and one head ever wait here. */
  feed(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
  }

  /** The next part that is there. Throws a `MessageError`. */
  next(): Part | undefined {
    if (this.#state === "framing" && !this.#readFraming()) return undefined;
    if (this.#state === "contentLength" && !this.#readContentLength()) return undefined;
    if (typeof this.#state === "number") return this.#readContent(this.#state);
    if (this.#state === "head") return this.#of === "request" ? this.#readRequest() : this.#readResponse();
    if (this.#state === "trailers") return this.#readTrailers();
    if (this.#waiting.length > 0) throw new MessageError("AfterEnd", {});
    return undefined;
  }

  /** The bytes have ended: whether the message has, too. */
  finish(): void {
    if (this.#state !== "ended") throw new MessageError("Truncated", {});
  }

  #readFraming(): boolean {
    const found = this.#number();
    if (found === undefined) return false;
    if (found !== FRAMING[this.#of]) throw new MessageError("Framing", { found });
    this.#state = "head";
    return true;
  }

  #readContentLength(): boolean {
    const length = this.#number();
    if (length === undefined) return false;
    if (this.#declared !== undefined) {
      const missing = this.#declared - BigInt(length);
      if (missing < 0n || (length === 0 && missing > 0n)) throw new MessageError("ContentLength", {});
      this.#declared = missing;
    }
    this.#state = length === 0 ? "trailers" : length;
    return true;
  }

  #readContent(left: number): Part | undefined {
    const content = this.#waiting.take(Math.min(left, this.#waiting.length));
    this.#state = content.length === left ? "contentLength" : left - content.length;
    return content.length === 0 ? undefined : { type: "content", content };
  }

  #readRequest(): Part | undefined {
    const read = this.#whole(requestOf);
    if (read === undefined) return undefined;
    this.#declared = read.length;
    this.#state = "contentLength";
    return { type: "request", head: read.head };
  }

  #readResponse(): Part | undefined {
    const head = this.#whole(responseOf);
    if (head === undefined) return undefined;
    this.#state = isInformational(head) ? "head" : "contentLength";
    return { type: "response", head };
  }

  #readTrailers(): Part | undefined {
    const trailers = this.#whole(fieldsOf);
    if (trailers === undefined) return undefined;
    this.#state = "ended";
    return { type: "end", trailers };
  }

  #number(): number | undefined {
    const input = new Input(this.#waiting.bytes);
    const number = input.number();
    this.#waiting.skip(input.at);
    return number;
  }

  /** What `read` reads, or nothing at all; at most `MAX_HEAD` bytes may wait for it. */
  #whole<Value>(read: (from: Input) => Value | undefined): Value | undefined {
    const input = new Input(this.#waiting.bytes);
    const value = read(input);
    const length = value === undefined ? this.#waiting.length : input.at;
    if (length > MAX_HEAD) throw new MessageError("HeadTooLong", {});
    if (value !== undefined) this.#waiting.skip(length);
    return value;
  }
}

/** Bytes that came; `at` of them are used. What it reads is nothing where bytes are missing. */
class Input {
  readonly #bytes: Bytes;
  at = 0;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  number(): number | undefined {
    const read = readVarint(this.#bytes.subarray(this.at), () => new MessageError("Length", {}));
    this.at += read?.used ?? 0;
    return read?.value;
  }

  /** Bytes after their length. */
  string(): Bytes | undefined {
    const length = this.number();
    if (length === undefined) return undefined;
    if (length > MAX_HEAD) throw new MessageError("HeadTooLong", {});
    if (this.at + length > this.#bytes.length) return undefined;
    this.at += length;
    return this.#bytes.slice(this.at - length, this.at);
  }
}

function requestOf(from: Input): { readonly head: RequestHead; readonly length: bigint | undefined } | undefined {
  const control: string[] = [];
  for (const what of ["method", "scheme", "authority", "path"]) {
    const bytes = from.string();
    if (bytes === undefined) return undefined;
    const text = utf8(bytes);
    if (text === undefined) throw new MessageError("Control", { what });
    control.push(text);
  }
  const fields = fieldsOf(from);
  if (fields === undefined) return undefined;
  const [method = "", scheme = "", authority = "", path = ""] = control;
  const head = { method, scheme, authority, path, fields };
  return { head, length: checkRequest(head) };
}

function responseOf(from: Input): ResponseHead | undefined {
  const status = from.number();
  if (status === undefined) return undefined;
  const fields = fieldsOf(from);
  if (fields === undefined) return undefined;
  const head = { status, fields };
  checkResponse(head);
  return head;
}

/** Field lines to an empty name. */
function fieldsOf(from: Input): Fields | undefined {
  const fields: [string, Bytes][] = [];
  for (;;) {
    const bytes = from.string();
    if (bytes === undefined) return undefined;
    if (bytes.length === 0) break;
    if (fields.length === MAX_FIELDS) throw new MessageError("TooManyFields", {});
    const name = utf8(bytes);
    if (name === undefined) throw new MessageError("FieldName", {});
    const value = from.string();
    if (value === undefined) return undefined;
    fields.push([name, value]);
  }
  checkFields(fields);
  return fields;
}
