/** A request as it leaves: sealed, and carried as this platform can. */

import { type Bytes, concat, copyOf } from "../bytes.js";
import { Encoder } from "../steve/http/encode.js";
import type { RequestHead } from "../steve/http/message.js";
import type { Exchange } from "../steve/session.js";
import type { Content } from "./request.js";

/** How many bytes went. */
export interface Count {
  bytes: number;
}

/**
 * The bytes of a request: header, head, content as it comes, end. Without its last piece a request is cut, and says so to the
 * enclave. Throws a `MessageError` for a head that is none.
 */
export function sealed(exchange: Exchange, head: RequestHead, content: Content, count: Count): AsyncGenerator<Bytes> {
  const encoder = new Encoder();
  return records(exchange, encoder, encoder.request(head), content, count);
}

async function* records(
  { header, sealer }: Exchange,
  encoder: Encoder,
  first: Bytes,
  content: Content,
  count: Count,
): AsyncGenerator<Bytes, void, undefined> {
  const most = sealer.maxContent;
  const counted = (bytes: Bytes) => {
    count.bytes += bytes.length;
    return bytes;
  };
  sealer.padTo(HEAD_BUCKET);
  const whole = content === undefined ? new Uint8Array() : content instanceof Uint8Array ? content : undefined;
  if (whole !== undefined && first.length + whole.length + LENGTHS <= most) {
    const message = concat(first, encoder.content(whole), encoder.end());
    yield counted(concat(header, await sealer.seal("data", message, true)));
    return;
  }
  yield counted(header);
  for (const piece of pieces(first, most)) yield counted(await sealer.seal("data", piece));
  sealer.padTo(1);
  for await (const part of partsOf(content)) {
    for (const piece of pieces(part, most - LENGTHS)) yield counted(await sealer.seal("data", encoder.content(piece)));
  }
  yield counted(await sealer.seal("data", encoder.end(), true));
}

/** Whether the content is worth a stream: it is one, or longer than what is held in memory. */
export function wantsStream(content: Content): boolean {
  if (content instanceof Blob) return content.size > MEMORY;
  return content instanceof Uint8Array ? content.length > MEMORY : content !== undefined;
}

/**
 * Whether `fetch` sends streams to `origin`. Where browsers can, they do over HTTP/2 and HTTP/3 alone, and refuse in words that could
 * as well mean that half of it was sent; so it is asked before, by what carried the handshake.
 */
export function canStream(origin: string): boolean {
  let asked = false;
  const isText = new Request("https://unasked.invalid", {
    method: "POST",
    body: new ReadableStream(),
    get duplex() {
      asked = true;
      return "half";
    },
  } as RequestInit).headers.has("Content-Type");
  if (!asked || isText) return false;
  const isBrowser = "document" in globalThis || "WorkerGlobalScope" in globalThis;
  if (!isBrowser) return true;
  const entries = performance.getEntriesByName(`${origin}/.well-known/steve/session`) as PerformanceResourceTiming[];
  return /^h[23]/.test(entries.at(-1)?.nextHopProtocol ?? "");
}

/** The pieces as a stream, made as they are taken. */
export function asStream(pieces: AsyncGenerator<Bytes>): ReadableStream<Bytes> {
  return new ReadableStream(
    {
      pull: async (controller) => {
        const { done, value } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: async () => void (await pieces.return(undefined)),
    },
    { highWaterMark: 0 },
  );
}

/** All pieces: in memory while they are few, in a `Blob` that the browser can keep on disk when they are many. */
export async function collected(pieces: AsyncGenerator<Bytes>): Promise<Bytes | Blob> {
  const stored: Blob[] = [];
  let held: Bytes[] = [];
  let length = 0;
  for await (const piece of pieces) {
    held.push(piece);
    length += piece.length;
    if (length < MEMORY) continue;
    stored.push(new Blob(held));
    held = [];
    length = 0;
  }
  return stored.length === 0 ? concat(...held) : new Blob([...stored, ...held]);
}

async function* partsOf(content: Content): AsyncGenerator<Uint8Array> {
  if (content === undefined) return;
  if (content instanceof Uint8Array) {
    yield content;
    return;
  }
  // Not `for await`, which not all browsers have for streams.
  const reader = (content instanceof Blob ? content.stream() : content).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (!(next.value instanceof Uint8Array)) throw new TypeError("a stream of content gives `Uint8Array`s");
      yield copyOf(next.value);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function* pieces(bytes: Uint8Array, most: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += most) yield bytes.subarray(at, at + most);
}

/** A first record has a multiple of so many bytes, so that heads of most requests look alike. */
const HEAD_BUCKET = 512;
/** More than the lengths and the end that content needs around it, in bytes. */
const LENGTHS = 16;
/** How much of a request is held in memory, in bytes. */
const MEMORY = 8 * 1024 * 1024;
