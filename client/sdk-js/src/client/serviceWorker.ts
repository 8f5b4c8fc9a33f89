/**
 * A service worker for apps that know nothing of this: every request of their pages goes into the enclave, or nowhere.
 *
 * It is `dist/enclave-sw.js`, at `/enclave-sw.js` of the app. `registerEnclaveWorker` configures it. A page that answers from inside it
 * for minutes should fetch by itself: browsers end workers.
 */

import { connectAs, passed, type WorkerConfig } from "./config.js";
import type { Enclave } from "./enclave.js";

/** What TypeScript's library for pages lacks. */
interface Scope extends EventTarget {
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
}

interface Extendable extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface Fetching extends Extendable {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const scope = self as unknown as Scope;
const { origin } = scope.location;

scope.addEventListener("install", (event) => (event as Extendable).waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", (event) => (event as Extendable).waitUntil(scope.clients.claim()));

scope.addEventListener("message", (event) => {
  const { data, ports } = event as MessageEvent;
  const [reply] = ports;
  if (data?.type !== "caution-configure" || reply === undefined) return;
  (event as unknown as Extendable).waitUntil(
    configure(data.config as WorkerConfig).then(
      (receipt) => reply.postMessage({ receipt }),
      (error: unknown) => reply.postMessage({ error: passed(error) }),
    ),
  );
});

scope.addEventListener("fetch", (event) => {
  const { request } = event as Fetching;
  if (isTunnelled(request)) (event as Fetching).respondWith(answer(request));
});

/** Everything of this origin but what begins a page, and what is not the app's. */
function isTunnelled({ url, method }: Request): boolean {
  const { origin: asked, pathname, search } = new URL(url);
  if (asked !== origin || pathname.startsWith("/.well-known/steve/")) return false;
  const isBootstrap = BOOTSTRAP.includes(pathname) && search === "" && (method === "GET" || method === "HEAD");
  return !isBootstrap && !PLATFORM.includes(pathname);
}

async function answer(request: Request): Promise<Response> {
  let enclave: Enclave;
  try {
    const found = await configured();
    if (found === undefined) return unavailable();
    enclave = found;
  } catch (error) {
    console.error(error);
    return Response.error();
  }
  try {
    const { url, method, headers, redirect, signal } = request;
    const init: RequestInit = { method, headers, redirect, signal };
    if (method !== "GET" && method !== "HEAD") init.body = await request.blob();
    // The page itself checks `integrity`, of whatever a worker gives it.
    return await enclave.fetch(url, init);
  } catch (error) {
    console.error(error);
    return Response.error();
  }
}

/** Nobody has said whom to trust. */
function unavailable(): Response {
  const headers = { "Content-Type": "application/json", "Cache-Control": "no-store" };
  return new Response('{"error":"e2e_not_configured"}', { status: 503, headers });
}

let current: Promise<Enclave> | undefined;
/** When an attempt that failed no longer speaks for requests. */
let stale = Number.POSITIVE_INFINITY;

/** What a page says counts from now on, and when this worker is started again; if it cannot be kept to, nothing is answered. */
async function configure(config: WorkerConfig): Promise<unknown> {
  if (typeof config?.policy?.mode !== "string") throw new TypeError("a policy is required");
  await stored("readwrite", (records) => records.put(config, KEY));
  return (await renewed(config)).established();
}

async function configured(): Promise<Enclave | undefined> {
  if (isCurrent()) return current;
  const config = (await stored("readonly", (records) => records.get(KEY))) as WorkerConfig | undefined;
  // Another request may have begun an attempt meanwhile.
  if (isCurrent()) return current;
  return config === undefined ? undefined : renewed(config);
}

function isCurrent(): boolean {
  return current !== undefined && performance.now() < stale;
}

function renewed(config: WorkerConfig): Promise<Enclave> {
  const connecting = connectAs(origin, config);
  current = connecting;
  stale = Number.POSITIVE_INFINITY;
  // What comes soon after shares the failure: a page with a hundred pictures is no hundred attempts.
  connecting.catch(() => {
    if (current === connecting) stale = performance.now() + PAUSE_MS;
  });
  return connecting;
}

/** One step in this worker's own database: it forgets everything else whenever it is stopped. */
function stored(mode: IDBTransactionMode, step: (records: IDBObjectStore) => IDBRequest): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("caution-service-worker", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("config");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("config", mode, { durability: "strict" });
      const request = step(transaction.objectStore("config"));
      transaction.oncomplete = () => {
        opening.result.close();
        resolve(request.result);
      };
      transaction.onabort = () => reject(transaction.error);
    };
  });
}

const KEY = "config";
/** Three attempts a minute, as many as one client makes handshakes. */
const PAUSE_MS = 20_000;
/** What an enclave gives without encryption, so that a page can begin (`specs/steve.md` §9.3). */
const BOOTSTRAP: readonly string[] = ["/", "/enclave-sw.js", "/register.js", "/attestation-widget.js"];
/** EnclaveOS' own. */
const PLATFORM: readonly string[] = ["/attestation", "/.well-known/caution/health"];
