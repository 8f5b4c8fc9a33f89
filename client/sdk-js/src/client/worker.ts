/** A dedicated worker that holds the keys and does the work: `dist/enclave-worker.js`. `connectInWorker` speaks to it. */

import { connectAs, passed } from "./config.js";
import type { Enclave } from "./enclave.js";
import type { Asked, Beginning, Pulled } from "./remote.js";

self.addEventListener("message", ({ data }: MessageEvent<Beginning>) => {
  const { url, config, port } = data;
  connectAs(url, config).then(
    async (enclave) => {
      port.onmessage = ({ data: asked }: MessageEvent<Asked>) => void answer(enclave, asked);
      port.postMessage({ origin: enclave.origin, receipt: await enclave.established() });
    },
    (error: unknown) => port.postMessage({ error: passed(error) }),
  );
});

/** Answers one request; its content as the page asks for it. */
async function answer(enclave: Enclave, { url, init, port }: Asked): Promise<void> {
  const stop = new AbortController();
  port.onmessage = ({ data }) => {
    if (data === "cancel") stop.abort();
  };
  try {
    const response = await enclave.fetch(url, { ...init, signal: stop.signal });
    const reader = response.body?.getReader();
    port.onmessage = ({ data }) => {
      if (data === "cancel") stop.abort();
      else void pulled(enclave, response, reader).then((next) => give(port, next));
    };
    const { status, headers, redirected, url: last } = response;
    port.postMessage({ status, headers: [...headers], redirected, url: last, hasBody: reader !== undefined });
  } catch (error) {
    port.postMessage({ error: passed(error) });
  }
}

async function pulled(
  enclave: Enclave,
  response: Response,
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined,
): Promise<Pulled> {
  try {
    const next = await reader?.read();
    if (next?.value !== undefined) return { content: next.value };
    return { receipt: await enclave.receipt(response) };
  } catch (error) {
    return { error: passed(error) };
  }
}

function give(port: MessagePort, next: Pulled): void {
  port.postMessage(next, next.content === undefined ? [] : [next.content.buffer as ArrayBuffer]);
}
