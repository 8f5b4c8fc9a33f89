/** A client of one application in an enclave. */

import { Roots } from "../roots.js";
import { MessageError } from "../steve/error.js";
import type { Kem, SuiteName } from "../steve/suite.js";
import { x25519 } from "../steve/x25519.js";
import { type Address, addressOf } from "./address.js";
import { SteveError } from "./error.js";
import { type Policy, ruleOf } from "./policy.js";
import { numberOf, type Receipt, receiptOf } from "./receipt.js";
import { type Inner, readRequest, redirected } from "./request.js";
import { Incoming, platformResponse } from "./response.js";
import { type Begun, type Established, Sessions } from "./session.js";
import { ask, inTime, TransportError } from "./transport.js";
import { asStream, type Count, canStream, collected, sealed, wantsStream } from "./upload.js";

/** What a client is told. */
export interface ConnectOptions {
  /** Whom to trust. */
  readonly policy: Policy;
  /** The deployment's suite; `xwing` when left out. Another one is refused, nothing is negotiated. */
  readonly suite?: SuiteName;
  /** Who may vouch for evidence; AWS's root when left out. */
  readonly roots?: Roots;
  /** The application's own context, which its configuration names; empty when left out. */
  readonly appContext?: Uint8Array;
  /** Speaks to an enclave that lets requests without encryption through to its app, too. */
  readonly allowPlaintextFallback?: boolean;
  /** Has a document made for each session of this client, with a challenge of its own, in place of the epoch's. */
  readonly freshEvidence?: boolean;
  /** How long evidence and handshake may take each, in milliseconds; 30 seconds when left out. Requests may take as long as they want. */
  readonly timeoutMs?: number;
  /**
   * How long nothing may come of a request or a WebSocket that was sent, in milliseconds; 60 seconds when left out. An enclave says
   * something every 15, however long its app thinks, so what is silent for longer is gone.
   */
  readonly idleMs?: number;
}

/**
 * Verifies the enclave behind `url` under a policy, and makes a session with it. Nothing is sent to the application yet.
 *
 * Rejects with a `SteveError` that says why it cannot be reached or is not trusted, or with a `PlatformError`.
 */
export async function connect(url: string | URL, options: ConnectOptions): Promise<Enclave> {
  const address = addressOf(url);
  const sessions = await sessionsOf(address, options);
  await sessions.established();
  return new Enclave(address, sessions, options.idleMs ?? IDLE_MS);
}

async function sessionsOf(address: Address, options: ConnectOptions): Promise<Sessions> {
  const stranger = Object.keys(options ?? {}).find((key) => !(OPTIONS as readonly string[]).includes(key));
  if (stranger !== undefined) throw new TypeError(`\`${stranger}\` is no option; there are ${OPTIONS.join(", ")}.`);
  const { appContext = new Uint8Array(), roots = Roots.aws(), suite = "xwing", timeoutMs = TIMEOUT_MS } = options ?? {};
  if (!(roots instanceof Roots)) throw new TypeError("`roots` is no `Roots`.");
  return new Sessions(address, {
    rule: await ruleOf(options?.policy),
    roots,
    kem: await kemOf(suite),
    appContext,
    allowPlaintextFallback: options.allowPlaintextFallback ?? false,
    freshEvidence: options.freshEvidence ?? false,
    timeoutMs,
  });
}

async function kemOf(suite: SuiteName): Promise<Kem> {
  if (suite === "x25519") return x25519;
  // Only whoever pins it needs the packages that it stands on.
  if (suite === "xwing") return (await import("../steve/xwing.js")).xwing;
  throw new TypeError(`\`${String(suite)}\` is no suite; there are x25519 and xwing.`);
}

/** An application whose enclave was verified. Every request is encrypted into it. */
export class Enclave {
  /** `https://host[:port]`. */
  readonly origin: string;
  /** How long nothing may come, in milliseconds. */
  readonly idleMs: number;
  readonly #address: Address;
  readonly #sessions: Sessions;
  readonly #receipts = new WeakMap<Response, Promise<Receipt>>();

  /** For `connect` alone. */
  constructor(address: Address, sessions: Sessions, idleMs: number) {
    this.origin = address.origin;
    this.idleMs = idleMs;
    this.#address = address;
    this.#sessions = sessions;
  }

  /**
   * As the platform's `fetch`, of this application alone. It can be passed on without its object.
   *
   * Rejects with a `SteveError`, or with the reason of the request's signal. A body that was cut ends with an error, never early.
   */
  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    let inner = await readRequest(this.#address, input, init);
    for (let hops = 0; ; hops += 1) {
      const response = await this.#exchange(inner, hops > 0);
      const url = inner.redirect === "manual" ? undefined : await target(this.#address, inner, response, hops);
      if (url === undefined) return response;
      inner = redirected(this.#address, inner, url, response.status);
    }
  };

  /** What was verified about a response of `fetch`; resolves when its body was read to its authentic end, rejects as the body does. */
  receipt(response: Response): Promise<Receipt> {
    const receipt = this.#receipts.get(response);
    if (receipt === undefined) return Promise.reject(new TypeError("This response is none of this enclave's `fetch`."));
    return receipt;
  }

  /** What was verified of the session that the next request uses; one is made where there is none. */
  async established(): Promise<Receipt> {
    return receiptOf(await this.#sessions.established());
  }

  /** An exchange that nothing was sent of: for `EnclaveWebSocket` alone. */
  begin(): Promise<Begun> {
    return this.#sessions.begin();
  }

  /** The next exchange needs another session: for `EnclaveWebSocket` alone. */
  forget(gone: Established): void {
    this.#sessions.forget(gone);
  }

  async #exchange(inner: Inner, isRedirected: boolean): Promise<Response> {
    const { exchange, established } = await unlessAborted(this.#sessions.begin(), inner.signal);
    const count: Count = { bytes: 0 };
    const body = await this.#bodyOf(inner, exchange, count);
    const isShort = !(body instanceof ReadableStream) && count.bytes <= SHORT;
    const answer = await this.#send(body, established, inner.signal, isShort);
    if (answer.body === null) throw new SteveError("STEVE_TRUNCATED", {});
    const incoming = new Incoming(answer.body, exchange.opener, inner.signal, this.idleMs);
    const head = await incoming.head();
    let settle: (error?: unknown) => void = () => undefined;
    const receipt = new Promise<Receipt>((resolve, reject) => {
      settle = (error) => {
        const { bytes: sent } = count;
        const done = { number: numberOf(exchange.header), sent, received: incoming.received };
        if (error === undefined) resolve(receiptOf(established, done));
        else reject(error);
      };
    });
    // Whoever wants it asks; nobody has to.
    receipt.catch(() => undefined);
    const response = await platformResponse(head, incoming, inner.head.method, settle);
    Object.defineProperties(response, { url: { value: inner.url.href }, redirected: { value: isRedirected } });
    this.#receipts.set(response, receipt);
    return response;
  }

  async #bodyOf(inner: Inner, exchange: Begun["exchange"], count: Count): Promise<BodyInit> {
    try {
      const pieces = sealed(exchange, inner.head, inner.content, count);
      if (wantsStream(inner.content) && canStream(this.#address.origin)) return asStream(pieces);
      return await collected(pieces);
    } catch (cause) {
      const why = cause instanceof MessageError ? cause.message : "its content could not be read";
      throw new SteveError("INVALID_REQUEST", { why }, { cause });
    }
  }

  async #send(body: BodyInit, established: Established, signal: AbortSignal, isShort: boolean): Promise<Response> {
    const contentType = "application/steve-req";
    const expects = "application/steve-res";
    const answer = ask(this.#address, { path: "x", method: "POST", contentType, body, expects, signal });
    try {
      // Some browsers look for an answer when they have sent everything, and nothing says how far they are.
      return await (isShort ? inTime(answer, this.idleMs) : answer);
    } catch (cause) {
      // Where it comes too late, nobody reads it.
      answer.then(({ body }) => body?.cancel()).catch(() => undefined);
      if (!(cause instanceof TransportError)) throw cause;
      const { status, code } = cause;
      if (code === "session_unknown") this.#sessions.forget(established);
      throw new SteveError("STEVE_AMBIGUOUS", { authority: this.#address.authority, status, code }, { cause });
    }
  }
}

/** Where a redirect leads, inside the tunnel; nothing where the response is none. */
async function target({ origin }: Address, inner: Inner, response: Response, hops: number): Promise<URL | undefined> {
  const location = response.headers.get("location");
  if (location === null || !REDIRECTS.includes(response.status)) return undefined;
  await response.body?.cancel();
  const refused = (why: string) => new SteveError("REDIRECT_REFUSED", { location: location.slice(0, 200), why });
  if (inner.redirect === "error") throw refused("`redirect` is `error`");
  if (hops === MAX_REDIRECTS) throw refused(`that is more than ${MAX_REDIRECTS} in a row`);
  if (!URL.canParse(location, inner.url)) throw refused("it is no URL");
  const url = new URL(location, inner.url);
  if (url.origin !== origin) throw refused("no enclave vouches for another origin");
  if (inner.content instanceof ReadableStream) throw refused("the content of the request was a stream, which is gone");
  return url;
}

async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  work.catch(() => undefined);
  if (signal.aborted) throw signal.reason;
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

const OPTIONS = [
  "policy",
  "suite",
  "roots",
  "appContext",
  "allowPlaintextFallback",
  "freshEvidence",
  "timeoutMs",
  "idleMs",
] as const satisfies readonly (keyof ConnectOptions)[];
const TIMEOUT_MS = 30_000;
const IDLE_MS = 60_000;
/** What is sent at once, in bytes. */
const SHORT = 64 * 1024;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const MAX_REDIRECTS = 5;
