/** An enclave that a dedicated worker speaks to: keys and work are there, the page has a `fetch`. */

import { type PassedError, passed, received, type WorkerConfig } from "./config.js";
import { SteveError } from "./error.js";
import type { Receipt } from "./receipt.js";
import { WITHOUT_CONTENT } from "./response.js";

/** The first message to a worker. */
export interface Beginning {
  readonly url: string;
  readonly config: WorkerConfig;
  readonly port: MessagePort;
}

/** A request, as it passes. */
export interface Asked {
  readonly url: string;
  readonly init: RequestInit;
  readonly port: MessagePort;
}

/** A piece of content, or how the response ended. */
export interface Pulled {
  readonly content?: Uint8Array;
  readonly receipt?: Receipt;
  readonly error?: PassedError;
}

interface Head {
  readonly error?: PassedError;
  readonly status: number;
  readonly headers: [string, string][];
  readonly redirected: boolean;
  readonly url: string;
}

/**
 * As `connect`, with everything in a worker of its own: `new Worker("/enclave-worker.js")`, of which this takes hold.
 *
 * Rejects as `connect` does.
 */
export async function connectInWorker(worker: Worker, url: string | URL, config: WorkerConfig): Promise<RemoteEnclave> {
  const { port1, port2 } = new MessageChannel();
  const begun = heard<{ readonly error?: PassedError; readonly origin: string; readonly receipt: Receipt }>(port1);
  const failed = new Promise<never>((_, reject) => {
    worker.addEventListener("error", ({ message }) => reject(new Error(`the worker failed: ${message}`)), {
      once: true,
    });
  });
  worker.postMessage({ url: String(url), config, port: port2 } satisfies Beginning, [port2]);
  const { error, origin, receipt } = await Promise.race([begun, failed]);
  if (error !== undefined) throw received(error);
  return new RemoteEnclave(origin, receipt, port1);
}

export class RemoteEnclave {
  /** `https://host[:port]`. */
  readonly origin: string;
  /** What was verified when this connected. */
  readonly established: Receipt;
  readonly #port: MessagePort;
  readonly #receipts = new WeakMap<Response, Promise<Receipt>>();

  /** For `connectInWorker` alone. */
  constructor(origin: string, established: Receipt, port: MessagePort) {
    this.origin = origin;
    this.established = established;
    this.#port = port;
  }

  /** As `fetch` of an `Enclave`. A stream as `body` passes where the browser lets streams pass to workers. */
  readonly fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const { body, signal: own, ...rest } = init;
    const signal = own ?? (input instanceof Request ? input.signal : undefined);
    signal?.throwIfAborted();
    const isStream = body instanceof ReadableStream;
    const url = new URL(input instanceof Request ? input.url : input, this.origin).href;
    const request = new Request(
      input instanceof Request ? input : url,
      isStream ? rest : { ...rest, body: body ?? null },
    );
    const { method, redirect, integrity } = request;
    const passes: RequestInit = { method, redirect, integrity, headers: [...request.headers] };
    if (isStream) passes.body = body;
    else if (method !== "GET" && method !== "HEAD") passes.body = await request.blob();
    const { port1, port2 } = new MessageChannel();
    const asked: Asked = { url, init: passes, port: port2 };
    this.#port.postMessage(asked, isStream ? [port2, body] : [port2]);
    return this.#response(port1, method, signal);
  };

  /** What was verified about a response, once its body was read to its authentic end. */
  receipt(response: Response): Promise<Receipt> {
    const receipt = this.#receipts.get(response);
    return receipt ?? Promise.reject(new TypeError("This response is none of this enclave's `fetch`."));
  }

  async #response(port: MessagePort, method: string, signal: AbortSignal | undefined): Promise<Response> {
    let stop: () => void = () => undefined;
    const stopped = new Promise<never>((_, reject) => {
      stop = () => {
        port.postMessage("cancel");
        reject(signal?.reason);
      };
    });
    stopped.catch(() => undefined);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    const ask = <Message>() => Promise.race([heard<Message & { readonly error?: PassedError }>(port), stopped]);
    const pull = async () => {
      const next = ask<Pulled>();
      port.postMessage("pull");
      return next;
    };
    const head = await ask<Head>();
    if (head.error !== undefined) throw received(head.error);
    let settle: (pulled: Pulled) => void = () => undefined;
    const receipt = new Promise<Receipt>((resolve, reject) => {
      settle = ({ receipt: found, error }) => {
        signal?.removeEventListener("abort", stop);
        port.close();
        if (found !== undefined) resolve(found);
        else reject(error === undefined ? new SteveError("STEVE_TRUNCATED", {}) : received(error));
      };
    });
    receipt.catch(() => undefined);
    const { status, headers, redirected, url } = head;
    const isEmpty = method === "HEAD" || WITHOUT_CONTENT.includes(status);
    if (isEmpty) settle(await pull());
    const body = isEmpty ? null : contentOf(pull, settle, () => port.postMessage("cancel"));
    const response = new Response(body, { status, headers });
    Object.defineProperties(response, { url: { value: url }, redirected: { value: redirected } });
    this.#receipts.set(response, receipt);
    return response;
  }
}

function contentOf(
  pull: () => Promise<Pulled>,
  settle: (ended: Pulled) => void,
  cancel: () => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      pull: async (controller) => {
        const next = await pull().catch((error: unknown) => {
          settle({ error: passed(error) });
          throw error;
        });
        if (next.content !== undefined) {
          controller.enqueue(next.content);
          return;
        }
        settle(next);
        if (next.receipt === undefined) throw received(next.error as PassedError);
        controller.close();
      },
      cancel: () => {
        cancel();
        settle({ error: { name: "AbortError", message: "The response was not read to its end.", values: null } });
      },
    },
    { highWaterMark: 0 },
  );
}

/** The next message. */
function heard<Message>(port: MessagePort): Promise<Message> {
  return new Promise((resolve) => {
    port.onmessage = ({ data }: MessageEvent<Message>) => resolve(data);
  });
}
