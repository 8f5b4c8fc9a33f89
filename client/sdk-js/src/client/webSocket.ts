/** A `WebSocket` into an enclave. */

import { type Bytes, concat, copyOf, utf8 } from "../bytes.js";
import { decodeSealedError } from "../steve/fault.js";
import { Decoder } from "../steve/http/decode.js";
import { Encoder } from "../steve/http/encode.js";
import { ascii } from "../steve/kdf.js";
import type { Kind, OpenedRecord } from "../steve/record.js";
import type { Exchange } from "../steve/session.js";
import { Turns } from "../steve/turns.js";
import type { Enclave } from "./enclave.js";
import { SteveError } from "./error.js";
import { EnclaveCloseEvent, EnclaveErrorEvent, Target } from "./events.js";
import { codeOf, LONGEST_TIMER_MS } from "./transport.js";

/** As the platform's `WebSocket`. What was cut or changed on its way ends it with an `error` and a `close` that was not clean. */
export class EnclaveWebSocket extends Target {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly url: string;
  readonly extensions = "";
  /** The subprotocol that the app chose. */
  protocol = "";
  binaryType: "blob" | "arraybuffer" = "blob";
  readonly #protocols: readonly string[];
  readonly #outgoing = new Turns();
  readonly #incoming = new Turns();
  #readyState: 0 | 1 | 2 | 3 = EnclaveWebSocket.CONNECTING;
  #buffered = 0;
  #outer: WebSocket | undefined;
  #exchange: Exchange | undefined;
  #head: Decoder | undefined = new Decoder("response");
  /** The parts of a message that came. */
  #parts: Bytes[] = [];
  #held = 0;
  /** What the app has said when it closed. */
  #close: { readonly code: number; readonly reason: string } | undefined;
  /** The last chunk came. */
  #isWhole = false;
  #hasEnded = false;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(enclave: Enclave, url: string | URL, protocols: string | readonly string[] = []) {
    super();
    const address = new URL(url, enclave.origin);
    address.protocol = address.protocol.replace(/^ws/, "http");
    if (address.origin !== enclave.origin || address.hash !== "") {
      throw new DOMException(`\`${address.href.slice(0, 200)}\` is none of ${enclave.origin}.`, "SyntaxError");
    }
    this.url = address.href.replace(/^http/, "ws");
    this.#protocols = typeof protocols === "string" ? [protocols] : protocols;
    if (!this.#protocols.every((one, index, all) => TOKEN.test(one) && all.indexOf(one) === index)) {
      throw new DOMException("Subprotocols are tokens, each once.", "SyntaxError");
    }
    this.#open(enclave, address).catch((error: unknown) => this.#fail(error));
  }

  get readyState(): 0 | 1 | 2 | 3 {
    return this.#readyState;
  }

  get bufferedAmount(): number {
    return this.#buffered + (this.#outer?.bufferedAmount ?? 0);
  }

  send(data: string | ArrayBuffer | ArrayBufferView | Blob): void {
    if (this.#readyState === EnclaveWebSocket.CONNECTING) {
      throw new DOMException("The connection is not open yet.", "InvalidStateError");
    }
    const isText = typeof data === "string";
    const content = isText ? ascii(data) : data instanceof Blob ? data : bytesOf(data);
    const length = content instanceof Blob ? content.size : content.length;
    this.#buffered += length;
    if (this.#readyState !== EnclaveWebSocket.OPEN) return;
    this.#queue(async () => {
      const bytes = content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : content;
      await this.#say(isText ? "wsText" : "wsBinary", isText ? "wsTextMore" : "wsBinaryMore", bytes);
      this.#buffered -= length;
    });
  }

  close(code?: number, reason = ""): void {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(`The code is 1000 or one of 3000 to 4999, not ${code}.`, "InvalidAccessError");
    }
    const text = ascii(reason);
    if (text.length > 123) throw new DOMException("The reason is longer than 123 bytes.", "SyntaxError");
    if (this.#readyState >= EnclaveWebSocket.CLOSING) return;
    if (this.#readyState === EnclaveWebSocket.CONNECTING) {
      this.#fail(new DOMException("The connection was closed before it was open.", "AbortError"));
      return;
    }
    this.#readyState = EnclaveWebSocket.CLOSING;
    this.#sayClose(code === undefined ? new Uint8Array() : concat(Uint8Array.of(code >> 8, code & 0xff), text));
    this.#closeTimer = setTimeout(() => this.#ended(1006, "", false), CLOSE_MS);
  }

  async #open(enclave: Enclave, { host, pathname, search }: URL): Promise<void> {
    const { exchange, established } = await enclave.begin();
    if (this.#readyState !== EnclaveWebSocket.CONNECTING) return;
    const encoder = new Encoder();
    const wanted = ascii(this.#protocols.join(", "));
    const fields = wanted.length === 0 ? [] : [["sec-websocket-protocol", wanted] as const];
    const path = pathname + search;
    const request = encoder.request({ method: "GET", scheme: "https", authority: host, path, fields });
    exchange.sealer.padTo(HEAD_BUCKET);
    const first = await exchange.sealer.seal("wsOpen", concat(request, encoder.end()));
    exchange.sealer.padTo(1);
    if (this.#readyState !== EnclaveWebSocket.CONNECTING) return;
    const outer = new WebSocket(`${enclave.origin.replace(/^http/, "ws")}/.well-known/steve/ws`, SUBPROTOCOL);
    outer.binaryType = "arraybuffer";
    this.#exchange = exchange;
    this.#outer = outer;
    const unanswered = { authority: host, status: null, code: null };
    let isSent = false;
    // What says why it closed the outer socket can be anybody on the way.
    const lost = (code: string | null = null) => {
      if (this.#head === undefined) return new SteveError("STEVE_TRUNCATED", {});
      return new SteveError(isSent ? "STEVE_AMBIGUOUS" : "UNREACHABLE", { ...unanswered, code });
    };
    const listen = () => {
      clearTimeout(this.#silence);
      const most = Math.min(enclave.idleMs, LONGEST_TIMER_MS);
      this.#silence = setTimeout(() => this.#fail(lost()), most);
    };
    listen();
    outer.onopen = () => {
      if (outer.protocol !== SUBPROTOCOL) return this.#fail(lost());
      isSent = true;
      outer.send(concat(exchange.header, first));
    };
    outer.onmessage = ({ data }) => {
      if (this.#hasEnded) return;
      listen();
      this.#incoming.take(() => this.#take(data)).catch((error: unknown) => this.#fail(error));
    };
    outer.onclose = ({ reason }) => {
      void this.#incoming.take(async () => {
        if (this.#isWhole) return;
        const code = codeOf(reason);
        // If that is true the next exchange needs another session; if not, it costs one handshake.
        if (this.#head !== undefined && code === "session_unknown") enclave.forget(established);
        this.#fail(lost(code));
      });
    };
  }

  /** A message of the outer socket is one chunk; the last begins with 0. */
  async #take(data: unknown): Promise<void> {
    const opener = this.#exchange?.opener;
    if (this.#readyState === EnclaveWebSocket.CLOSED || opener === undefined) return;
    if (!(data instanceof ArrayBuffer)) throw new SteveError("RESPONSE_INVALID", {});
    const bytes = new Uint8Array(data);
    opener.feed(bytes);
    const next = () => (bytes[0] === 0 ? opener.end() : opener.next());
    for (let record = await next(); record; record = await next()) {
      this.#heard(record);
      if (record.last) this.#last();
    }
  }

  #heard({ kind, content }: OpenedRecord): void {
    if (kind === "pad" || this.#close !== undefined || this.#readyState === EnclaveWebSocket.CLOSED) return;
    if (kind === "error") throw new SteveError("STEVE_SEALED", decodeSealedError(content));
    if (kind === "reset") throw new SteveError("STEVE_TRUNCATED", {});
    if (kind === "data" && this.#head !== undefined) this.#answered(this.#head, content);
    else if (this.#head !== undefined) throw new SteveError("RESPONSE_INVALID", {});
    else if (kind === "wsText" || kind === "wsBinary") this.#message(kind, this.#joined(content));
    else if (kind === "wsTextMore" || kind === "wsBinaryMore") this.#hold(content);
    else if (kind === "ping") this.#queue(() => this.#send("pong", content));
    else if (kind === "wsClose") this.#closed(content);
    else if (kind !== "pong") throw new SteveError("RESPONSE_INVALID", {});
  }

  #answered(decoder: Decoder, content: Bytes): void {
    decoder.feed(content);
    const part = decoder.next();
    if (part === undefined) return;
    if (part.type !== "response" || part.head.status !== 101) {
      const status = part.type === "response" ? part.head.status : 0;
      throw new TypeError(`the app answered ${status} and opened no WebSocket`);
    }
    const chosen = part.head.fields
      .filter(([name]) => name === "sec-websocket-protocol")
      .map(([, value]) => utf8(value));
    if (chosen.length > 1 || !chosen.every((one) => one !== undefined && this.#protocols.includes(one))) {
      throw new TypeError("the app chose a subprotocol that was not offered");
    }
    this.#head = undefined;
    this.protocol = chosen[0] ?? "";
    this.#readyState = EnclaveWebSocket.OPEN;
    this.emit(new Event("open"));
  }

  #hold(content: Bytes): void {
    this.#held += content.length;
    if (this.#held > MAX_MESSAGE) throw new RangeError(`a message is longer than ${MAX_MESSAGE} bytes`);
    this.#parts.push(content);
  }

  #joined(last: Bytes): Bytes {
    this.#hold(last);
    const whole = concat(...this.#parts);
    this.#parts = [];
    this.#held = 0;
    return whole;
  }

  #message(kind: "wsText" | "wsBinary", bytes: Bytes): void {
    if (this.#readyState !== EnclaveWebSocket.OPEN) return;
    const text = kind === "wsText" ? utf8(bytes) : undefined;
    if (kind === "wsText" && text === undefined) throw new TypeError("a text message is no UTF-8");
    const data = text ?? (this.binaryType === "blob" ? new Blob([bytes]) : bytes.buffer);
    this.emit(new MessageEvent("message", { data, origin: new URL(this.url).origin }));
  }

  /** Nothing follows: an end where the app has closed before, and a cut where it has not. */
  #last(): void {
    if (this.#close === undefined) throw new SteveError("STEVE_TRUNCATED", {});
    const { code, reason } = this.#close;
    this.#isWhole = true;
    this.#queue(async () => this.#ended(code, reason, true));
  }

  /** The app closes, or has heard that we do. */
  #closed(content: Bytes): void {
    const reason = utf8(content.subarray(2));
    if (content.length === 1 || reason === undefined) throw new SteveError("RESPONSE_INVALID", {});
    const code = content.length === 0 ? 1005 : new DataView(content.buffer, content.byteOffset).getUint16(0);
    this.#close = { code, reason };
    if (this.#readyState !== EnclaveWebSocket.CLOSING) this.#sayClose(content);
  }

  /** Whole, or in parts of which all but the last say that more follows. */
  async #say(last: Kind, more: Kind, bytes: Bytes): Promise<void> {
    const most = this.#exchange?.sealer.maxContent ?? 1;
    let at = 0;
    for (; bytes.length - at > most; at += most) await this.#send(more, bytes.subarray(at, at + most));
    await this.#send(last, bytes.subarray(at));
  }

  async #send(kind: Kind, content: Uint8Array, last = false): Promise<void> {
    const chunk = await this.#exchange?.sealer.seal(kind, content, last);
    if (chunk !== undefined && this.#outer?.readyState === 1) this.#outer.send(chunk);
  }

  #sayClose(content: Bytes): void {
    this.#queue(async () => {
      await this.#send("wsClose", content);
      await this.#send("pad", new Uint8Array(), true);
    });
  }

  #queue(step: () => Promise<void>): void {
    this.#outgoing.take(step).catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    if (this.#readyState === EnclaveWebSocket.CLOSED) return;
    this.#readyState = EnclaveWebSocket.CLOSED;
    this.emit(new EnclaveErrorEvent(named(error)));
    this.#ended(1006, "", false);
  }

  #ended(code: number, reason: string, wasClean: boolean): void {
    clearTimeout(this.#closeTimer);
    clearTimeout(this.#silence);
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#readyState = EnclaveWebSocket.CLOSED;
    this.#outer?.close();
    this.#exchange = undefined;
    this.emit(new EnclaveCloseEvent(code, reason, wasClean));
  }
}

function named(error: unknown): unknown {
  const name = error instanceof Error ? error.name : "";
  if (name === "Truncated") return new SteveError("STEVE_TRUNCATED", {}, { cause: error });
  const isOurs = error instanceof SteveError || error instanceof TypeError || error instanceof RangeError;
  return isOurs || error instanceof DOMException ? error : new SteveError("RESPONSE_INVALID", {}, { cause: error });
}

function bytesOf(data: ArrayBuffer | ArrayBufferView): Bytes {
  if (ArrayBuffer.isView(data)) return copyOf(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return copyOf(new Uint8Array(data));
}

/** `token` of RFC 9110, section 5.6.2. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** Of the outer socket. */
const SUBPROTOCOL = "steve3";
const HEAD_BUCKET = 512;
/** How long the app has to hear that we close. */
const CLOSE_MS = 10_000;
/** The longest message that comes in parts, in bytes. */
const MAX_MESSAGE = 64 * 1024 * 1024;
