/** A page's half of the service worker. */

import { type PassedError, received, type WorkerConfig } from "./config.js";
import type { Receipt } from "./receipt.js";

/**
 * Registers `dist/enclave-sw.js` for the whole origin, tells it whom to trust, and waits until it has verified the enclave and answers this
 * page's requests. Before that it answers 503.
 *
 * Rejects with a `SteveError` where the enclave is not trusted: then nothing is answered.
 */
export async function registerEnclaveWorker(script: string | URL, config: WorkerConfig): Promise<Receipt> {
  const container = navigator.serviceWorker;
  await container.register(script, { scope: "/" });
  const { active } = await container.ready;
  if (active === null) throw new TypeError("the service worker did not start");
  const channel = new MessageChannel();
  const answered = new Promise<{ readonly receipt?: Receipt; readonly error?: PassedError }>((resolve) => {
    channel.port1.onmessage = ({ data }) => resolve(data);
  });
  active.postMessage({ type: "caution-configure", config }, [channel.port2]);
  const { receipt, error } = await answered;
  channel.port1.close();
  if (error !== undefined) throw received(error);
  if (container.controller === null) {
    await new Promise((resolve) => container.addEventListener("controllerchange", resolve, { once: true }));
  }
  return receipt as Receipt;
}
