/** Parts of a message in, bytes out. */

import { type Bytes, concat } from "../../bytes.js";
import { MAX_HEAD, MessageError } from "../error.js";
import { ascii } from "../kdf.js";
import { varint } from "../varint.js";
import {
  checkFields,
  checkRequest,
  checkResponse,
  type Fields,
  FRAMING,
  isInformational,
  type RequestHead,
  type ResponseHead,
} from "./message.js";

/** Writes one message, part after part. A part out of its order is a `TypeError`, a refused one a `MessageError`. */
export class Encoder {
  #phase: "start" | "informational" | "content" | "ended" = "start";

  request(head: RequestHead): Bytes {
    if (this.#phase !== "start") throw new TypeError("a second head");
    checkRequest(head);
    const control = [head.method, head.scheme, head.authority, head.path].map((text) => prefixed(ascii(text)));
    const bytes = shortEnough(concat(varint(FRAMING.request), ...control, fieldLines(head.fields)));
    this.#phase = "content";
    return bytes;
  }

  /** A response's head; of an informational one, with others after it. */
  response(head: ResponseHead): Bytes {
    if (this.#phase === "content" || this.#phase === "ended") throw new TypeError("a second head");
    checkResponse(head);
    const framing = this.#phase === "start" ? varint(FRAMING.response) : new Uint8Array();
    const bytes = shortEnough(concat(framing, varint(head.status), fieldLines(head.fields)));
    this.#phase = isInformational(head) ? "informational" : "content";
    return bytes;
  }

  /** Content, as much as there is now. */
  content(bytes: Uint8Array): Bytes {
    this.#insistOnContent();
    const pieces: Bytes[] = [];
    for (let at = 0; at < bytes.length; at += LONGEST_PIECE)
      pieces.push(prefixed(bytes.subarray(at, at + LONGEST_PIECE)));
    return concat(...pieces);
  }

  /** The end, with trailers. */
  end(trailers: Fields = []): Bytes {
    this.#insistOnContent();
    checkFields(trailers);
    const bytes = concat(varint(0), shortEnough(fieldLines(trailers)));
    this.#phase = "ended";
    return bytes;
  }

  #insistOnContent(): void {
    if (this.#phase !== "content") throw new TypeError("content comes after the head and before the end");
  }
}

function fieldLines(fields: Fields): Bytes {
  return concat(...fields.flatMap(([name, value]) => [prefixed(ascii(name)), prefixed(value)]), varint(0));
}

function prefixed(bytes: Uint8Array): Bytes {
  return concat(varint(bytes.length), bytes);
}

/** What the other side would refuse is not sent. */
function shortEnough(head: Bytes): Bytes {
  if (head.length > MAX_HEAD) throw new MessageError("HeadTooLong", {});
  return head;
}

/** Far more than a chunk, and less than a length of four bytes can say. */
const LONGEST_PIECE = 2 ** 24;
