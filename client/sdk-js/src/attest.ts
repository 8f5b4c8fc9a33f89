/** Asks a running enclave for evidence that answers a fresh nonce, and verifies it. */

import { type Bytes, concat, fromBase64, toBase64, utf8 } from "./bytes.js";
import type { Expected } from "./policy.js";
import { readResponse } from "./response.js";
import { bindManifest } from "./userData.js";
import type { Verified } from "./verified.js";
import { verify } from "./verify.js";

/** Why there is no evidence to look at. */
export class FetchError extends Error {
  override readonly name = "FetchError";
}

/** What a live document is asked; its nonce and its time are ours. */
export interface AttestOptions extends Expected {
  /** How many milliseconds ago the document may have been signed; five minutes when left out. */
  readonly maxAgeMs?: number;
  /** Longest wait for the whole exchange, in milliseconds; one minute when left out. */
  readonly timeoutMs?: number;
}

/** An enclave's answer to a fresh nonce. */
export interface Attested {
  readonly verified: Verified;
  /** The manifest's JSON text that the enclave vouches for, `null` when it vouches that it has none. */
  readonly manifest: string | null;
}

/**
 * Requests evidence from `url`, an `http` or `https` address of an `/attestation` endpoint (a bare
 * host gets that path), with 32 random bytes; follows no redirects and reads at most 1 MiB. Then
 * verifies it as a live document, at most five minutes old unless the options say otherwise, and
 * insists that it binds the manifest sent along.
 *
 * Rejects with a `FetchError`, an `AttestationError` or a `ManifestError`.
 */
export async function attest(url: string | URL, options: AttestOptions = {}): Promise<Attested> {
  const { timeoutMs = TIMEOUT_MS, ...asked } = options;
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const address = attestationUrl(url);
  const answer = readResponse(await post(address, JSON.stringify({ nonce: toBase64(nonce) }), timeoutMs));
  const document = answer && fromBase64(answer.document);
  if (!answer || !document) throw new FetchError(`The answer of ${address} is not an attestation response.`);
  const verified = await verify(document, { maxAgeMs: MAX_AGE_MS, ...asked, nonce, now: Date.now() });
  await bindManifest(verified, answer.manifest);
  return { verified, manifest: answer.manifest };
}

/** The address to ask: a bare host gets the standard path. */
function attestationUrl(url: string | URL): string {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (address?.protocol !== "https:" && address?.protocol !== "http:") {
    throw new FetchError(`\`${url}\` is not an http or https URL.`);
  }
  if (address.pathname === "/" && address.search === "") address.pathname = PATH;
  return address.href;
}

/** The text of a 200 answer that is there in time. */
async function post(address: string, body: string, timeoutMs: number): Promise<string> {
  // Not `AbortSignal.timeout`: Node 20 forgets that signal while it reads a body.
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([exchange(address, body, stop.signal), late]);
  } catch (cause) {
    stop.abort();
    throw new FetchError(`No evidence could be fetched from ${address}.`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

async function exchange(address: string, body: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body,
    redirect: "error",
    credentials: "omit",
    cache: "no-store",
    referrerPolicy: "no-referrer",
    signal,
  });
  if (answer.status !== 200) throw new Error(`it answered HTTP ${answer.status}`);
  const text = utf8(await readAll(answer.body));
  if (text === undefined) throw new Error("its answer is not UTF-8");
  return text;
}

/** Everything of a stream, given up as soon as it is too long. */
async function readAll(stream: ReadableStream<Uint8Array> | null): Promise<Bytes> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = stream?.getReader();
  for (;;) {
    const chunk = await reader?.read();
    if (chunk?.value === undefined) return concat(...parts);
    length += chunk.value.length;
    if (length > MAX_RESPONSE) {
      throw new Error(`its answer is longer than ${MAX_RESPONSE} bytes`);
    }
    parts.push(chunk.value);
  }
}

/** The path of the request. */
const PATH = "/attestation";
/** The longest response body that is read, in bytes. */
const MAX_RESPONSE = 1024 * 1024;
const TIMEOUT_MS = 60_000;
const MAX_AGE_MS = 5 * 60 * 1000;
