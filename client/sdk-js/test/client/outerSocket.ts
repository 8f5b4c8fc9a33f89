/** A server's end of a WebSocket (RFC 6455), as far as the tests need one: it sends binary messages unfragmented. */

import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type Bytes, concat, copyOf } from "../../src/bytes.js";

export class OuterSocket {
  readonly #socket: Socket;
  readonly #messages: Bytes[] = [];
  readonly #news = new EventEmitter();
  #waiting: Bytes = new Uint8Array();
  /** Frames of a message whose last has not come. */
  #frames: Bytes[] = [];
  #hasEnded = false;

  constructor(request: IncomingMessage, socket: Socket, protocol: string) {
    this.#socket = socket;
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
    );
    socket.on("data", (piece) => this.#read(piece));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#hasEnded = true;
      this.#news.emit("news");
    });
  }

  /** The next message; nothing once the other side is gone. */
  async next(): Promise<Bytes | undefined> {
    while (this.#messages.length === 0 && !this.#hasEnded) await once(this.#news, "news");
    return this.#messages.shift();
  }

  send(message: Uint8Array, isText = false): void {
    this.#frame(isText ? 1 : 2, message);
  }

  close(code = 1000, reason = ""): void {
    this.#frame(8, concat(Uint8Array.of(code >> 8, code & 255), new TextEncoder().encode(reason)));
    this.#socket.end();
  }

  /** Without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  #frame(opcode: number, content: Uint8Array): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    const head = Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(content.length), 2);
    const short = content.length < 126 ? Buffer.of(0x80 | opcode, content.length) : undefined;
    const medium =
      content.length < 65_536 ? Buffer.of(0x80 | opcode, 126, content.length >> 8, content.length & 255) : head;
    this.#socket.write(Buffer.concat([short ?? medium, content]));
  }

  #read(piece: Uint8Array): void {
    this.#waiting = concat(this.#waiting, piece);
    for (;;) {
      const view = Buffer.from(this.#waiting);
      if (view.length < 2) return;
      const [first = 0, second = 0] = view;
      const short = second & 127;
      const at = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (view.length < at + 4) return;
      const length = short === 127 ? Number(view.readBigUInt64BE(2)) : short === 126 ? view.readUInt16BE(2) : short;
      if (view.length < at + 4 + length) return;
      const mask = view.subarray(at, at + 4);
      const content = view.subarray(at + 4, at + 4 + length).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
      this.#waiting = this.#waiting.slice(at + 4 + length);
      if ((first & 15) === 8) {
        this.#frame(8, content);
        this.#socket.end();
        return;
      }
      this.#frames.push(copyOf(content));
      if (first < 128) continue;
      this.#messages.push(concat(...this.#frames));
      this.#frames = [];
      this.#news.emit("news");
    }
  }
}
