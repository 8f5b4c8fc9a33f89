/** A sealed response, read as it comes. */

import { decodeSealedError } from "../steve/fault.js";
import { Decoder } from "../steve/http/decode.js";
import { isInformational, type Part, type ResponseHead } from "../steve/http/message.js";
import type { Opener } from "../steve/opener.js";
import type { OpenedRecord } from "../steve/record.js";
import { SteveError } from "./error.js";
import { inTime } from "./transport.js";

/** The parts of a response, each once it has come and authenticated. */
export class Incoming {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #opener: Opener;
  readonly #signal: AbortSignal;
  readonly #idleMs: number;
  readonly #decoder = new Decoder("response");
  #hasEnded = false;
  /** How many bytes came. */
  received = 0;

  /** For at most `idleMs` nothing may come while somebody waits for it. */
  constructor(body: ReadableStream<Uint8Array>, opener: Opener, signal: AbortSignal, idleMs: number) {
    this.#reader = body.getReader();
    this.#opener = opener;
    this.#signal = signal;
    this.#idleMs = idleMs;
  }

  /** The next part; `undefined` at the authentic end. A response that was cut is an error, never an end. */
  async next(): Promise<Part | undefined> {
    try {
      return await this.#next();
    } catch (error) {
      await this.cancel();
      throw this.#signal.aborted ? this.#signal.reason : named(error as Error, this.#hasEnded);
    }
  }

  /** The head. Informational responses before it are passed over. */
  async head(): Promise<ResponseHead> {
    for (;;) {
      const part = await this.next();
      if (part?.type !== "response") throw new SteveError("RESPONSE_INVALID", {});
      if (!isInformational(part.head)) return part.head;
      // Only a WebSocket changes protocols.
      if (part.head.status === 101) throw new SteveError("RESPONSE_INVALID", {});
    }
  }

  /** Nobody wants the rest. */
  cancel(): Promise<void> {
    return this.#reader.cancel().catch(() => undefined);
  }

  async #next(): Promise<Part | undefined> {
    for (;;) {
      const part = this.#decoder.next();
      if (part !== undefined) return part;
      const record = await (this.#hasEnded ? this.#opener.end() : this.#opener.next());
      if (record !== undefined) this.#take(record);
      else if (this.#hasEnded) {
        this.#decoder.finish();
        return undefined;
      } else await this.#read();
    }
  }

  async #read(): Promise<void> {
    const { done, value } = await inTime(this.#reader.read(), this.#idleMs).catch((cause: unknown) => {
      throw new SteveError("STEVE_TRUNCATED", {}, { cause });
    });
    if (done) {
      this.#hasEnded = true;
      return;
    }
    this.received += value.length;
    this.#opener.feed(value);
  }

  #take({ kind, content }: OpenedRecord): void {
    if (kind === "data") this.#decoder.feed(content);
    else if (kind === "error") throw new SteveError("STEVE_SEALED", decodeSealedError(content));
    else if (kind === "reset")
      throw new SteveError("STEVE_TRUNCATED", {}, { cause: new Error("the enclave gave it up") });
    else if (kind !== "pad")
      throw new SteveError("RESPONSE_INVALID", {}, { cause: new Error(`a record of kind ${kind}`) });
  }
}

/** The `Response` of a head, whose body is read from `incoming` as somebody wants it. `ended` is told how that ended. */
export async function platformResponse(
  head: ResponseHead,
  incoming: Incoming,
  method: string,
  ended: (error?: unknown) => void,
): Promise<Response> {
  const { status } = head;
  try {
    const headers = headersOf(head);
    if (method === "HEAD" || WITHOUT_CONTENT.includes(status)) {
      await toTheEnd(incoming);
      ended();
      return new Response(null, { status, headers });
    }
    return new Response(bodyOf(incoming, ended), { status, headers });
  } catch (error) {
    ended(error);
    await incoming.cancel();
    throw error;
  }
}

function bodyOf(incoming: Incoming, ended: (error?: unknown) => void): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      pull: async (controller) => {
        try {
          const content = await nextContent(incoming);
          if (content !== undefined) {
            controller.enqueue(content);
            return;
          }
          ended();
          controller.close();
        } catch (error) {
          ended(error);
          throw error;
        }
      },
      cancel: async (reason) => {
        ended(reason ?? new DOMException("The response was not read to its end.", "AbortError"));
        await incoming.cancel();
      },
    },
    { highWaterMark: 0 },
  );
}

async function nextContent(incoming: Incoming): Promise<Uint8Array | undefined> {
  for (;;) {
    const part = await incoming.next();
    if (part === undefined) return undefined;
    if (part.type === "content") return part.content;
    // The end counts when nothing can follow it any more.
    if (part.type !== "end") throw new SteveError("RESPONSE_INVALID", {});
  }
}

async function toTheEnd(incoming: Incoming): Promise<void> {
  if ((await nextContent(incoming)) !== undefined) {
    throw new SteveError("RESPONSE_INVALID", {}, { cause: new Error("it has content where there can be none") });
  }
}

function headersOf({ fields }: ResponseHead): Headers {
  const headers = new Headers();
  for (const [name, value] of fields) headers.append(name, latin1(value));
  return headers;
}

/** `Headers` holds bytes as characters. */
function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

function named(error: Error, hasEnded: boolean): Error {
  if (error instanceof SteveError) return error;
  // Where a stream is cut inside its last chunk, that chunk does not authenticate.
  const isCut = error.name === "Truncated" || (hasEnded && error.name === "NotAuthentic");
  return new SteveError(isCut ? "STEVE_TRUNCATED" : "RESPONSE_INVALID", {}, { cause: error });
}

/** Statuses of responses that have none (Fetch Standard, null body status). */
export const WITHOUT_CONTENT: readonly number[] = [204, 205, 304];
