/** An `EventSource` whose events come out of an enclave. */

import type { Enclave } from "./enclave.js";
import { SteveError, type SteveErrorName } from "./error.js";
import { EventStream } from "./eventStream.js";
import { EnclaveErrorEvent, Target } from "./events.js";

/**
 * As the platform's `EventSource`: a stream that ends or breaks off is asked for again, with `Last-Event-ID`, as every `EventSource` does, since
 * its requests are GET. Evidence or a policy that refuses, another status than 200 and another type than `text/event-stream` end it.
 */
export class EnclaveEventSource extends Target {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;
  readonly url: string;
  readonly withCredentials = false;
  readonly #enclave: Enclave;
  readonly #stop = new AbortController();
  #readyState: 0 | 1 | 2 = EnclaveEventSource.CONNECTING;
  #lastEventId = "";
  /** How long to wait before another connection; the stream can say so. */
  #retryMs = 3000;

  constructor(enclave: Enclave, url: string | URL) {
    super();
    this.url = new URL(url, enclave.origin).href;
    this.#enclave = enclave;
    void this.#run();
  }

  get readyState(): 0 | 1 | 2 {
    return this.#readyState;
  }

  close(): void {
    this.#readyState = EnclaveEventSource.CLOSED;
    this.#stop.abort(new DOMException("The event source was closed.", "AbortError"));
  }

  async #run(): Promise<void> {
    while (this.#readyState !== EnclaveEventSource.CLOSED) {
      const error = await this.#once().catch((cause: unknown) => cause);
      if (this.#stop.signal.aborted) return;
      const goesOn = error === undefined || (error instanceof SteveError && PASSING.includes(error.name));
      this.#readyState = goesOn ? EnclaveEventSource.CONNECTING : EnclaveEventSource.CLOSED;
      this.emit(new EnclaveErrorEvent(error));
      if (goesOn) await this.#pause();
    }
  }

  /** Reads one stream; resolves at its end. */
  async #once(): Promise<undefined> {
    const headers: Record<string, string> = { accept: "text/event-stream", "cache-control": "no-store" };
    // As UTF-8, says the Standard; `Headers` holds bytes as characters.
    if (this.#lastEventId !== "") headers["last-event-id"] = latin1(new TextEncoder().encode(this.#lastEventId));
    const response = await this.#enclave.fetch(this.url, { headers, signal: this.#stop.signal });
    const type = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || !/^text\/event-stream\s*(;|$)/i.test(type)) {
      await response.body?.cancel();
      throw new TypeError(`it answered ${response.status} with the type \`${type.slice(0, 100)}\`, no event stream`);
    }
    this.#readyState = EnclaveEventSource.OPEN;
    this.emit(new Event("open"));
    const stream = new EventStream(this.#lastEventId);
    const reader = response.body?.getReader();
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
      for (const { type: name, data, lastEventId } of stream.feed(next.value)) {
        if (this.#stop.signal.aborted) return;
        this.#lastEventId = lastEventId;
        this.emit(new MessageEvent(name, { data, lastEventId, origin: this.#enclave.origin }));
      }
      this.#retryMs = stream.retryMs ?? this.#retryMs;
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#retryMs);
      this.#stop.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** After these another connection may do better. */
const PASSING: readonly SteveErrorName[] = [
  "UNREACHABLE",
  "TOO_MANY_HANDSHAKES",
  "STEVE_AMBIGUOUS",
  "STEVE_SEALED",
  "STEVE_TRUNCATED",
];
