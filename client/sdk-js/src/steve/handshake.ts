/** One round trip: hello, server hello, confirmation. `specs/steve.md` §4 has the formulas. */

import { type Bytes, byteAt, concat, copyOf, equal, equalInConstantTime } from "../bytes.js";
import { fromBytes, insist, type Shape, toBytes } from "./cbor.js";
import { headerOf, type KeyConfig } from "./config.js";
import { HandshakeError } from "./error.js";
import { type Context, receiver, sender, TAG } from "./hpke.js";
import { ascii, hkdf, hkdfKey, sha256 } from "./kdf.js";
import {
  ClientSession,
  checkLimit,
  checkLimits,
  type Limits,
  MAX_CHUNK,
  type Schedule,
  scheduleOf,
  VERSION,
} from "./session.js";
import type { Kem, PrivateKey, Suite } from "./suite.js";

/**
 * What ties a session to one deployment: SHA-256 over the authority that the client means, and the
 * application's own context, which may be empty.
 */
export function contextHash(authority: string, appContext: Uint8Array = new Uint8Array()): Promise<Bytes> {
  return sha256(ascii("steve3 ctx\0"), ascii(authority), ascii("\0"), appContext);
}

/** A key that evidence vouches for, as the client knows it after verifying that evidence. */
export interface AttestedKey {
  readonly config: KeyConfig;
  /** SHA-256 of the whole list, as attested. */
  readonly keyConfigsHash: Bytes;
  /** The attested instance, 16 bytes. */
  readonly instance: Bytes;
}

/** The client's randomness for one handshake: all of it fresh, none of it used for anything else, overwritten after use. */
export interface ClientRandom {
  /** For encapsulating to the attested key, 64 bytes. */
  readonly encapsulate: Bytes;
  /** The seed of the client's ephemeral key, 32 bytes. */
  readonly ephemeral: Bytes;
  /** `client_random`, 32 bytes. */
  readonly hello: Bytes;
}

/** What a client may choose. */
export interface HelloOptions {
  /** The longest content of a record that the client takes, 16,384 to 65,536 bytes; 65,536 when left out. */
  readonly maxChunk?: number;
  /** The platform's own when left out, as always but for vectors: whoever repeats it gives the session away. */
  readonly random?: ClientRandom;
}

/** A client that has made its hello. */
export class ClientHandshake {
  readonly #hello: Bytes;
  readonly #suite: Suite;
  readonly #instance: Bytes;
  readonly #maxChunk: number;
  #secrets: Secrets | undefined;

  private constructor(hello: Bytes, suite: Suite, instance: Bytes, maxChunk: number, secrets: Secrets) {
    this.#hello = hello;
    this.#suite = suite;
    this.#instance = instance;
    this.#maxChunk = maxChunk;
    this.#secrets = secrets;
  }

  /**
   * Makes the hello for an attested key. `kem` is the pinned suite, of which the key must be; `context` is
   * what `contextHash` gives.
   *
   * Rejects with a `HandshakeError` (`Key`, `Limit`), a `PlatformError`, or a `TypeError` for a key of
   * another suite.
   */
  static async start(kem: Kem, key: AttestedKey, context: Bytes, options: HelloOptions = {}): Promise<ClientHandshake> {
    const { maxChunk = MAX_CHUNK.most, random = freshRandom() } = options;
    const { suite } = kem;
    if (key.config.suite !== suite.name) {
      throw new TypeError(`the attested key is of suite ${key.config.suite}, not of ${suite.name}, which is pinned`);
    }
    checkLimit("max_chunk", maxChunk, MAX_CHUNK);
    const header = headerOf(key.config);
    const info = concat(ascii("steve3 session request\0"), header, key.keyConfigsHash);
    const { context: request, encapsulated } = await sender(kem, key.config.publicKey, info, random.encapsulate);
    const ephemeral = await kem.privateKey(random.ephemeral);
    const { publicKey } = ephemeral;
    const inner = toBytes(CLIENT_INNER, { random: random.hello, publicKey, contextHash: context, maxChunk });
    const sealed = await request.seal(new Uint8Array(), inner);
    const hello = concat(VERSION, header, encapsulated, sealed);
    for (const used of Object.values(random) as readonly Bytes[]) used.fill(0);
    return new ClientHandshake(hello, suite, copyOf(key.instance), maxChunk, { request, ephemeral });
  }

  /** The message to send: one to two and a half kilobytes. */
  get hello(): Bytes {
    return copyOf(this.#hello);
  }

  /**
   * Reads the server's answer, once. Nothing of it counts before its confirmation holds.
   *
   * Rejects with a `HandshakeError`, and forgets the keys whatever comes.
   */
  async finish(serverHello: Uint8Array): Promise<ClientSession> {
    const secrets = this.#secrets;
    if (secrets === undefined) throw new TypeError("a handshake is finished once");
    this.#secrets = undefined;
    try {
      return await this.#finish(secrets, serverHello);
    } finally {
      secrets.request.forget();
      secrets.ephemeral.forget();
    }
  }

  async #finish({ request, ephemeral }: Secrets, serverHello: Uint8Array): Promise<ClientSession> {
    const malformed = new HandshakeError("Malformed", { what: "server hello" });
    const parts = serverHello.length > MAX_HANDSHAKE ? undefined : split(this.#suite, copyOf(serverHello));
    if (parts === undefined) throw malformed;
    const th1 = await sha256(this.#hello);
    const info = concat(ascii("steve3 session response\0"), th1);
    const response = await receiver(this.#suite, ephemeral, parts.encapsulated, info);
    try {
      const opened = await response.open(parts.session, parts.sealed);
      if (opened === undefined) throw new HandshakeError("NotAuthentic", { what: "server hello" });
      const schedule = await agreed(th1, parts.withoutConfirmation, request, response);
      if (!equalInConstantTime(schedule.confirmation, parts.confirmation)) {
        throw new HandshakeError("Confirmation", {});
      }
      const inner = fromBytes(SERVER_INNER, opened);
      if (inner === undefined) throw malformed;
      if (!equal(inner.instance, this.#instance)) throw new HandshakeError("Instance", {});
      checkLimits(inner.limits, this.#maxChunk);
      return new ClientSession(parts.session, this.#suite.name, schedule, inner.limits, inner.lifetimeS);
    } finally {
      response.forget();
    }
  }
}

/** What a client forgets when its handshake ends. */
interface Secrets {
  readonly request: Context;
  readonly ephemeral: PrivateKey;
}

function freshRandom(): ClientRandom {
  const fresh = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  return { encapsulate: fresh(64), ephemeral: fresh(32), hello: fresh(32) };
}

/** `1 || session_id || enc_c || sealed || confirmation`. */
interface ServerHello {
  readonly session: Bytes;
  readonly encapsulated: Bytes;
  readonly sealed: Bytes;
  readonly confirmation: Bytes;
  readonly withoutConfirmation: Bytes;
}

function split({ encapsulatedLength }: Suite, message: Bytes): ServerHello | undefined {
  const sealedAt = 1 + 16 + encapsulatedLength;
  const confirmationAt = message.length - 32;
  if (confirmationAt < sealedAt + TAG || byteAt(message, 0) !== 1) return undefined;
  return {
    session: message.slice(1, 17),
    encapsulated: message.slice(17, sealedAt),
    sealed: message.slice(sealedAt, confirmationAt),
    confirmation: message.slice(confirmationAt),
    withoutConfirmation: message.slice(0, confirmationAt),
  };
}

/** Both exports together: who learns only one of the two private keys learns nothing. */
export async function agreed(th1: Bytes, serverHello: Bytes, request: Context, response: Context): Promise<Schedule> {
  const th = await sha256(th1, await sha256(serverHello));
  const es = await request.export("steve3 es");
  const ee = await hkdfKey(await response.export("steve3 ee"));
  const master = await hkdf(es, ee, concat(ascii("steve3 master"), th), 32);
  es.fill(0);
  return scheduleOf(th, master);
}

/** What a hello seals. */
interface ClientInner {
  readonly random: Bytes;
  readonly publicKey: Bytes;
  readonly contextHash: Bytes;
  readonly maxChunk: number;
}

export const CLIENT_INNER: Shape<ClientInner> = {
  write({ random, publicKey, contextHash, maxChunk }, to) {
    to.map(4).uint(1).bytes(random).uint(2).bytes(publicKey).uint(3).bytes(contextHash).uint(4).uint(maxChunk);
  },
  read(from) {
    insist(from.map() === 4);
    from.key(1);
    const random = from.bytes(32);
    from.key(2);
    const publicKey = from.bytes();
    from.key(3);
    const contextHash = from.bytes(32);
    from.key(4);
    return { random, publicKey, contextHash, maxChunk: from.u32() };
  },
};

/** What a server hello seals. */
interface ServerInner {
  readonly random: Bytes;
  readonly lifetimeS: number;
  readonly instance: Bytes;
  readonly limits: Limits;
}

export const SERVER_INNER: Shape<ServerInner> = {
  write({ random, lifetimeS, instance, limits }, to) {
    to.map(4).uint(1).bytes(random).uint(2).uint(lifetimeS).uint(3).bytes(instance);
    to.uint(4).array(3).uint(limits.maxChunk).uint(limits.concurrency).uint(limits.window);
  },
  read(from) {
    insist(from.map() === 4);
    from.key(1);
    const random = from.bytes(32);
    from.key(2);
    const lifetimeS = from.u32();
    from.key(3);
    const instance = from.bytes(16);
    from.key(4);
    insist(from.array() === 3);
    const limits = { maxChunk: from.u32(), concurrency: from.u32(), window: from.u32() };
    return { random, lifetimeS, instance, limits };
  },
};

/** The longest message of the handshake that is read, in bytes. */
export const MAX_HANDSHAKE = 8192;
