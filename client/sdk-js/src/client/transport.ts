/** HTTP to whoever stands in front of the enclave. Nothing that comes back is believed. */

import { type Bytes, concat, utf8 } from "../bytes.js";
import type { Address } from "./address.js";

/** What came instead of an answer. It does not leave this package but as a cause. */
export class TransportError extends Error {
  override readonly name = "TransportError";
  /** The HTTP status, where that is what was wrong. */
  readonly status: number | null;
  /** The name after `urn:steve:`, where it has one. */
  readonly code: string | null;

  constructor(message: string, status: number | null = null, code: string | null = null, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.code = code;
  }
}

/** A question to one of STEVE's paths. */
export interface Ask {
  readonly path: "evidence" | "session" | "x";
  readonly method: "GET" | "POST";
  readonly contentType?: string;
  readonly body?: BodyInit;
  /** The content type of the answer. */
  readonly expects: string;
  readonly signal: AbortSignal;
}

/** The head of an answer whose status and type are STEVE's. Rejects with a `TransportError`, or as the signal says. */
export async function ask({ origin }: Address, what: Ask): Promise<Response> {
  const answer = await send(`${origin}/.well-known/steve/${what.path}`, what);
  const found = answer.headers.get("content-type") ?? "";
  if (answer.status !== 200) {
    const code = problem(await whole(answer, MAX_PROBLEM).catch(() => new Uint8Array()));
    throw new TransportError(`it answered HTTP ${answer.status}`, answer.status, code);
  }
  if (found.split(";")[0]?.trim().toLowerCase() !== what.expects) {
    await answer.body?.cancel();
    throw new TransportError(`it answered with the type \`${found.slice(0, 100)}\`, not \`${what.expects}\``, 200);
  }
  return answer;
}

async function send(url: string, { method, contentType, body, signal }: Ask): Promise<Response> {
  const init: RequestInit & { duplex?: "half" } = {
    method,
    redirect: "error",
    credentials: "omit",
    // Answers to POST are not kept anyway. Where that is said all the same, Chromium keeps no leave either, and asks for it before each request.
    cache: method === "GET" ? "no-store" : "default",
    referrerPolicy: "no-referrer",
    signal,
  };
  if (contentType !== undefined) init.headers = { "Content-Type": contentType };
  if (body !== undefined) init.body = body;
  if (body instanceof ReadableStream) init.duplex = "half";
  try {
    return await fetch(url, init);
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    throw new TransportError("the connection failed", null, null, { cause });
  }
}

/** A whole short answer, within a time. */
export async function askShort(
  address: Address,
  what: Omit<Ask, "signal">,
  limit: number,
  timeoutMs: number,
): Promise<Bytes> {
  const stop = new AbortController();
  const answered = ask(address, { ...what, signal: stop.signal }).then((answer) => whole(answer, limit));
  try {
    // Not the signal alone: Node 20 forgets it while it reads a body.
    return await inTime(answered, timeoutMs);
  } catch (error) {
    answered.catch(() => undefined);
    stop.abort();
    throw error;
  }
}

/** What `work` gives, unless that takes longer. */
export async function inTime<Result>(work: Promise<Result>, milliseconds: number): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const why = () => new TransportError(`nothing came within ${milliseconds} ms`);
    timer = setTimeout(() => reject(why()), Math.min(milliseconds, LONGEST_TIMER_MS));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function whole(answer: Response, limit: number): Promise<Bytes> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = answer.body?.getReader();
  for (;;) {
    const chunk = await reader?.read().catch((cause) => {
      throw new TransportError("its answer broke off", null, null, { cause });
    });
    if (chunk?.value === undefined) return concat(...parts);
    length += chunk.value.length;
    if (length > limit) {
      await reader?.cancel();
      throw new TransportError(`its answer is longer than ${limit} bytes`);
    }
    parts.push(chunk.value);
  }
}

/** `{"type": "urn:steve:<code>"}`: a word of ours, or nothing. */
function problem(body: Bytes): string | null {
  try {
    const { type } = JSON.parse(utf8(body) ?? "") as { type?: unknown };
    return typeof type === "string" && type.startsWith("urn:steve:") ? codeOf(type.slice(10)) : null;
  } catch {
    return null;
  }
}

/** A word that may be one of ours, or nothing. */
export function codeOf(word: string): string | null {
  return /^[a-z_]{1,40}$/.test(word) ? word : null;
}

/** Platforms' timers of more than this end at once. */
export const LONGEST_TIMER_MS = 0x7fff_ffff;
/** The longest explanation of a refusal that is read, in bytes. */
const MAX_PROBLEM = 4096;
