/** A host with an enclave behind it that serves STEVE over HTTP, as far as a client meets it: honest unless it is told otherwise. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { mock } from "node:test";
import { type Bytes, concat, copyOf, toHex } from "../../src/bytes.js";
import { type ConnectOptions, Roots } from "../../src/client/index.js";
import { encodeBundle } from "../../src/steve/bundle.js";
import { type EpochClaims, encodeEpochClaims } from "../../src/steve/claims.js";
import { encodeSealedError, type SealedError } from "../../src/steve/fault.js";
import { Decoder } from "../../src/steve/http/decode.js";
import { Encoder } from "../../src/steve/http/encode.js";
import type { Fields, RequestHead } from "../../src/steve/http/message.js";
import { sha256 } from "../../src/steve/kdf.js";
import type { Kind, OpenedRecord } from "../../src/steve/record.js";
import type { Sealer } from "../../src/steve/sealer.js";
import type { Kem } from "../../src/steve/suite.js";
import { x25519 } from "../../src/steve/x25519.js";
import { documentOf, NOON, PCRS } from "../enclave.js";
import { base64, vector } from "../files.js";
import { Enclave, LIMITS, type ServerSession } from "../steve/enclave.js";
import { OuterSocket } from "./outerSocket.js";

/** What the app inside is asked. */
export interface Asked {
  readonly head: RequestHead;
  readonly fields: Readonly<Record<string, string>>;
  /** Pieces as they come. Throws where the request is cut. */
  pieces(): AsyncGenerator<Bytes, void, undefined>;
  content(): Promise<Bytes>;
}

/** What the app answers, a record each. */
export class Reply {
  readonly #sealer: Sealer;
  readonly #send: (bytes: Bytes) => void;
  readonly #encoder = new Encoder();

  constructor(sealer: Sealer, send: (bytes: Bytes) => void) {
    this.#sealer = sealer;
    this.#send = send;
  }

  async head(status: number, fields: Readonly<Record<string, string>> = {}): Promise<void> {
    const lines = Object.entries(fields).map(([name, value]) => [name, new TextEncoder().encode(value)] as const);
    await this.#data(this.#encoder.response({ status, fields: lines }));
  }

  async content(content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    for (let at = 0; at < bytes.length; at += 60_000) {
      await this.#data(this.#encoder.content(bytes.subarray(at, at + 60_000)));
    }
  }

  async end(): Promise<void> {
    await this.#data(this.#encoder.end(), true);
  }

  async pad(): Promise<void> {
    this.#send(await this.#sealer.seal("pad", new Uint8Array()));
  }

  async error(error: SealedError): Promise<void> {
    this.#send(await this.#sealer.seal("error", encodeSealedError(error), true));
  }

  async #data(bytes: Bytes, last = false): Promise<void> {
    this.#send(await this.#sealer.seal("data", bytes, last));
  }
}

/** A WebSocket as the enclave has it. */
export interface Tunnel {
  readonly head: RequestHead;
  readonly outer: OuterSocket;
  readonly sealer: Sealer;
  open(fields?: Fields): Promise<void>;
  refuse(status: number): Promise<void>;
  say(kind: Kind, content: Uint8Array, last?: boolean): Promise<void>;
  hear(): Promise<OpenedRecord | undefined>;
}

export type SocketApp = (tunnel: Tunnel) => Promise<void>;

export type App = (asked: Asked, reply: Reply) => Promise<void>;

/** What a host makes of the whole answer at one of STEVE's paths. */
export type Meddle = (
  answer: { readonly path: string; readonly status: number; readonly type: string; readonly body: Bytes },
  request: Bytes,
) =>
  | { readonly status?: number; readonly type?: string; readonly body?: Uint8Array; readonly cut?: boolean }
  | undefined;

export interface HostOptions {
  readonly kem?: Kem;
  readonly app?: App;
  readonly claims?: Partial<EpochClaims>;
  readonly pcrs?: readonly string[];
  readonly lifetimeS?: number;
  readonly seed?: number;
  /** Answers WebSockets: their requests, and what sends and hears records. */
  readonly socket?: SocketApp;
  /** Pages of every origin may ask, as those that a deployment names (`specs/steve.md` §9.5). */
  readonly anyOrigin?: boolean;
  /** Answers everything that is not STEVE's. */
  readonly page?: (request: IncomingMessage, response: ServerResponse) => void;
}

/** The client's half: who may vouch, and what is pinned. */
export const ROOTS = Roots.devRoot(base64(vector("ok-live").root));
const [pcr0 = "", pcr1 = "", pcr2 = ""] = PCRS;
export const PROFILE = { pcr0, pcr1, pcr2 };
export const OPTIONS: ConnectOptions = {
  policy: { mode: "pinned", profiles: [PROFILE] },
  suite: "x25519",
  roots: ROOTS,
};

export class Host {
  /** Requests that the app got, as `GET /path`. */
  readonly ran: string[] = [];
  /** Requests that came, as `POST /path`. */
  readonly came: string[] = [];
  handshakes = 0;
  meddle: Meddle | undefined;
  /** What the next evidence shows. */
  pcrs: readonly string[];
  readonly enclave: Enclave;
  readonly #options: HostOptions;
  readonly #sessions = new Map<string, ServerSession>();
  readonly #begun = new Set<string>();
  readonly #server: Server;

  private constructor(enclave: Enclave, options: HostOptions) {
    this.enclave = enclave;
    this.#options = options;
    this.pcrs = options.pcrs ?? PCRS;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error) => response.destroy(error as Error));
    });
  }

  static async start(options: HostOptions = {}): Promise<Host> {
    const { kem = x25519, seed = 0x22 } = options;
    const instance = new Uint8Array(16).fill(seed);
    const host = new Host(await Enclave.of(kem, 3, instance, new Uint8Array(32).fill(seed)), options);
    host.#server.on("upgrade", (request, socket) => {
      host.#tunnel(request, socket as Socket).catch(() => socket.destroy());
    });
    await new Promise<void>((resolve) => host.#server.listen(0, "127.0.0.1", resolve));
    return host;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** What an enclave that was started again knows of sessions. */
  forgetSessions(): void {
    this.#sessions.clear();
  }

  session(id: Bytes): ServerSession | undefined {
    return this.#sessions.get(toHex(id));
  }

  async bundle(nonce: Uint8Array | null): Promise<Bytes> {
    const claims = encodeEpochClaims({
      keyConfigsHash: await sha256(this.enclave.keyConfigs),
      instance: this.enclave.instance,
      notBeforeMs: BigInt(NOON - 60_000),
      notAfterMs: BigInt(NOON + 3_600_000),
      manifestHash: new Uint8Array(32).fill(7),
      tlsKeyHash: null,
      plaintextFallback: false,
      publicAssets: true,
      ...this.#options.claims,
    });
    const document = documentOf(claims, nonce, this.pcrs);
    return encodeBundle({ keyConfigs: this.enclave.keyConfigs, document: copyOf(document) });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url: path = "" } = request;
    this.came.push(`${method} ${path}`);
    const name = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : undefined;
    if (this.#options.anyOrigin) {
      response.setHeader("Access-Control-Allow-Origin", request.headers.origin ?? "*");
      if (method === "OPTIONS") {
        response.writeHead(204, LEAVE).end();
        return;
      }
    }
    if (name === undefined) {
      const { page = (_: IncomingMessage, other: ServerResponse) => refuse(other) } = this.#options;
      page(request, response);
    } else if (name === "x" && this.meddle === undefined) await this.#exchange(request, response, false);
    else if (name === "x") await this.#exchange(request, response, true);
    else {
      const body = await read(request);
      if (name === "evidence") {
        const bundle = await this.bundle(method === "POST" ? body : null);
        this.#answer(response, { path: name, status: 200, type: "application/cbor", body: bundle }, body);
      } else if (name === "session") {
        const answer = await this.#handshake(body);
        this.#answer(response, { path: name, status: 200, type: "application/steve-hello", body: answer }, body);
      } else response.writeHead(404).end();
    }
  }

  async #handshake(hello: Bytes): Promise<Bytes> {
    this.handshakes += 1;
    const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
    const chosen = { encapsulate: random(64), session: random(16), hello: random(32) };
    const id = toHex(chosen.session);
    const grant = { limits: LIMITS, lifetimeS: this.#options.lifetimeS ?? 1800 };
    const { session, answer } = await this.enclave.accept(hello, grant, chosen);
    this.#sessions.set(id, session);
    return answer;
  }

  async #exchange(request: IncomingMessage, response: ServerResponse, isWhole: boolean): Promise<void> {
    const source = request[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    let first: Bytes = new Uint8Array();
    while (first.length < 25) {
      const { done, value } = await source.next();
      if (done) break;
      first = concat(first, value);
    }
    const all = [first];
    const refused = (status: number, code: string) =>
      this.#answer(
        response,
        { path: "x", status, type: "application/problem+json", body: problem(status, code) },
        first,
      );
    const session = this.#sessions.get(toHex(first.slice(1, 17)));
    if (session === undefined) return refused(410, "session_unknown");
    const number = toHex(first.slice(1, 25));
    if (this.#begun.has(number)) return refused(409, "replay");
    this.#begun.add(number);
    const { opener, sealer } = await session.exchange(first.slice(0, 25));
    const sent: Bytes[] = [];
    if (!isWhole) response.writeHead(200, { "Content-Type": "application/steve-res", ...NOT_KEPT });
    const reply = new Reply(sealer, (bytes) => (isWhole ? sent.push(bytes) : response.write(bytes)));
    const incoming = parts(first.slice(25), source, opener, all);
    const begin = await incoming.next();
    if (begin.done || begin.value.type !== "request") throw new Error("a request begins with its head");
    const { head } = begin.value;
    this.ran.push(`${head.method} ${head.path}`);
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
    const asked: Asked = {
      head,
      fields: Object.fromEntries(head.fields.map(([name, value]) => [name, text(value)])),
      async *pieces() {
        for await (const part of incoming) if (part.type === "content") yield part.content;
      },
      async content() {
        const pieces: Bytes[] = [];
        for await (const piece of this.pieces()) pieces.push(piece);
        return concat(...pieces);
      },
    };
    await (this.#options.app ?? echo)(asked, reply);
    if (!isWhole) response.end();
    else {
      const body = concat(...sent);
      this.#answer(response, { path: "x", status: 200, type: "application/steve-res", body }, concat(...all));
    }
  }

  async #tunnel(request: IncomingMessage, socket: Socket): Promise<void> {
    const outer = new OuterSocket(request, socket, "steve3");
    const first = (await outer.next()) ?? new Uint8Array();
    const session = this.#sessions.get(toHex(first.slice(1, 17)));
    if (request.url !== `${PREFIX}ws`) throw new Error("another path");
    if (session === undefined) return outer.close(1008, "session_unknown");
    const { opener, sealer } = await session.exchange(first.slice(0, 25));
    const records = async (bytes: Bytes | undefined) => {
      if (bytes === undefined) return undefined;
      opener.feed(bytes);
      return bytes[0] === 0 ? opener.end() : opener.next();
    };
    const opening = await records(first.slice(25));
    const decoder = new Decoder("request");
    decoder.feed(opening?.content ?? new Uint8Array());
    const part = decoder.next();
    if (opening?.kind !== "wsOpen" || part?.type !== "request") throw new Error("it opens no WebSocket");
    this.ran.push(`${part.head.method} ${part.head.path}`);
    const head = new Encoder();
    await (this.#options.socket ?? ((tunnel) => tunnel.open()))({
      head: part.head,
      outer,
      sealer,
      open: async (fields = []) => outer.send(await sealer.seal("data", head.response({ status: 101, fields }))),
      refuse: async (status) => {
        outer.send(await sealer.seal("data", concat(head.response({ status, fields: [] }), head.end()), true));
      },
      say: async (kind, content, last = false) => outer.send(await sealer.seal(kind, content, last)),
      hear: async () => records(await outer.next()),
    });
    outer.close();
  }

  #answer(response: ServerResponse, honest: Parameters<Meddle>[0], request: Bytes): void {
    const { status, type, body, cut = false } = { ...honest, ...this.meddle?.(honest, request) };
    const length = cut ? { "Content-Length": body.length + 1 } : {};
    response.writeHead(status, { "Content-Type": type, ...NOT_KEPT, ...length });
    if (!cut) response.end(body);
    else response.write(body, () => response.destroy());
  }
}

/** Visits a host at noon, whose clock can be set on. */
export async function visiting(
  options: HostOptions,
  visit: (host: Host, clock: { now: number }) => Promise<void>,
): Promise<void> {
  const clock = { now: NOON };
  const mocked = mock.method(Date, "now", () => clock.now);
  const host = await Host.start(options);
  try {
    await visit(host, clock);
  } finally {
    host.stop();
    mocked.mock.restore();
  }
}

/** Says what it was asked. */
export const echo: App = async (asked, reply) => {
  const content = await asked.content();
  await reply.head(200, { "content-type": "application/json", "x-enclave-e2e": "yes" });
  const { method, path } = asked.head;
  const text = content.length > 4096 ? `${content.length} bytes` : new TextDecoder().decode(content);
  await reply.content(JSON.stringify({ method, path, fields: asked.fields, content: text }));
  await reply.end();
};

async function* parts(
  rest: Bytes,
  source: AsyncIterator<Uint8Array>,
  opener: Awaited<ReturnType<ServerSession["exchange"]>>["opener"],
  all: Bytes[],
) {
  const decoder = new Decoder("request");
  for (let piece: Uint8Array | undefined = rest; ; ) {
    if (piece !== undefined) opener.feed(piece);
    const next = () => (piece === undefined ? opener.end() : opener.next());
    for (let record = await next(); record; record = await next()) {
      if (record.kind === "data") decoder.feed(record.content);
      for (let part = decoder.next(); part; part = decoder.next()) yield part;
    }
    if (piece === undefined) break;
    const read: IteratorResult<Uint8Array> = await source.next();
    piece = read.done ? undefined : read.value;
    if (piece !== undefined) all.push(copyOf(piece));
  }
  decoder.finish();
}

async function read(request: IncomingMessage): Promise<Bytes> {
  const pieces: Uint8Array[] = [];
  for await (const piece of request) pieces.push(piece as Uint8Array);
  return concat(...pieces);
}

function refuse(response: ServerResponse): void {
  response.writeHead(403, { "Content-Type": "application/json", ...NOT_KEPT }).end('{"error":"e2e_required"}');
}

function problem(status: number, code: string): Bytes {
  return new TextEncoder().encode(JSON.stringify({ type: `urn:steve:${code}`, status })) as Bytes;
}

const PREFIX = "/.well-known/steve/";
const LEAVE = {
  "Access-Control-Allow-Methods": "GET, POST",
  "Access-Control-Allow-Headers": "content-type, incremental",
  "Access-Control-Max-Age": "7200",
};
const NOT_KEPT = { "Cache-Control": "no-store, no-transform" };
