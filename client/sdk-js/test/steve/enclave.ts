/** The other side of a session, as far as a client meets it: it keeps no windows and no lists of hellos. */

import { type Bytes, concat } from "../../src/bytes.js";
import { fromBytes, toBytes } from "../../src/steve/cbor.js";
import { encodeKeyConfigs, headerOf, type KeyConfig } from "../../src/steve/config.js";
import {
  type AttestedKey,
  agreed,
  CLIENT_INNER,
  ClientHandshake,
  contextHash,
  SERVER_INNER,
} from "../../src/steve/handshake.js";
import { receiver, sender } from "../../src/steve/hpke.js";
import { ascii, sha256 } from "../../src/steve/kdf.js";
import { Opener } from "../../src/steve/opener.js";
import { Sealer } from "../../src/steve/sealer.js";
import { blockOf, type ClientSession, type Limits, type Schedule } from "../../src/steve/session.js";
import type { Kem, PrivateKey } from "../../src/steve/suite.js";

/** What a server chooses at random. */
export interface ServerRandom {
  readonly encapsulate: Bytes;
  readonly session: Bytes;
  readonly hello: Bytes;
}

export class Enclave {
  readonly config: KeyConfig;
  readonly instance: Bytes;
  readonly #kem: Kem;
  readonly #key: PrivateKey;

  private constructor(kem: Kem, key: PrivateKey, keyId: number, instance: Bytes) {
    this.#kem = kem;
    this.#key = key;
    this.config = { keyId, suite: kem.suite.name, publicKey: key.publicKey };
    this.instance = instance;
  }

  static async of(kem: Kem, keyId: number, instance: Bytes, seed: Bytes): Promise<Enclave> {
    return new Enclave(kem, await kem.privateKey(seed), keyId, instance);
  }

  get keyConfigs(): Bytes {
    return encodeKeyConfigs([this.config]);
  }

  async attested(): Promise<AttestedKey> {
    return { config: this.config, keyConfigsHash: await sha256(this.keyConfigs), instance: this.instance };
  }

  /** Takes a hello that authenticates. */
  async accept(
    hello: Bytes,
    grant: { readonly limits: Limits; readonly lifetimeS: number },
    random: ServerRandom,
  ): Promise<{ readonly session: ServerSession; readonly answer: Bytes }> {
    const { suite } = this.#kem;
    const sealedAt = 8 + suite.encapsulatedLength;
    const header = headerOf(this.config);
    const info = concat(ascii("steve3 session request\0"), header, await sha256(this.keyConfigs));
    const request = await receiver(suite, this.#key, hello.slice(8, sealedAt), info);
    const opened = await request.open(new Uint8Array(), hello.slice(sealedAt));
    const inner = opened && fromBytes(CLIENT_INNER, opened);
    if (inner === undefined) throw new Error("the hello is none for this enclave");
    const th1 = await sha256(hello);
    const responseInfo = concat(ascii("steve3 session response\0"), th1);
    const { context: response, encapsulated } = await sender(
      this.#kem,
      inner.publicKey,
      responseInfo,
      random.encapsulate,
    );
    const limits = { ...grant.limits, maxChunk: Math.min(grant.limits.maxChunk, inner.maxChunk) };
    const said = { random: random.hello, lifetimeS: grant.lifetimeS, instance: this.instance, limits };
    const sealed = await response.seal(random.session, toBytes(SERVER_INNER, said));
    const unconfirmed = concat(Uint8Array.of(1), random.session, encapsulated, sealed);
    const schedule = await agreed(th1, unconfirmed, request, response);
    const answer = concat(unconfirmed, schedule.confirmation);
    return { session: new ServerSession(schedule, limits.maxChunk), answer };
  }
}

export class ServerSession {
  readonly schedule: Schedule;
  readonly #maxChunk: number;

  constructor(schedule: Schedule, maxChunk: number) {
    this.schedule = schedule;
    this.#maxChunk = maxChunk;
  }

  /** What opens the request and seals the response of the exchange with this header. */
  async exchange(header: Bytes): Promise<{ readonly opener: Opener; readonly sealer: Sealer }> {
    const { th, client, server } = this.schedule;
    const x = header.slice(17);
    return {
      opener: new Opener(await blockOf(th, client, x), this.#maxChunk),
      sealer: new Sealer(await blockOf(th, server, x), this.#maxChunk),
    };
  }
}

export const INSTANCE = new Uint8Array(16).fill(0x11);
export const LIMITS: Limits = { maxChunk: 65_536, concurrency: 256, window: 4096 };

export function enclave(kem: Kem, instance = INSTANCE): Promise<Enclave> {
  return Enclave.of(kem, 3, instance, new Uint8Array(32).fill(0x22));
}

/** A client that has said hello, always with the same randomness for the same seed. */
export async function greet(kem: Kem, attested: AttestedKey, seed = 1): Promise<ClientHandshake> {
  const random = {
    encapsulate: new Uint8Array(64).fill(seed),
    ephemeral: new Uint8Array(32).fill(seed ^ 0x40),
    hello: new Uint8Array(32).fill(seed ^ 0x80),
  };
  return ClientHandshake.start(kem, attested, await contextHash("app.example"), { random });
}

export function answer(
  server: Enclave,
  hello: Bytes,
  limits: Limits = LIMITS,
): Promise<{ readonly session: ServerSession; readonly answer: Bytes }> {
  const random = {
    encapsulate: new Uint8Array(64).fill(2),
    session: new Uint8Array(16).fill(0x42),
    hello: new Uint8Array(32).fill(0x82),
  };
  return server.accept(hello, { limits, lifetimeS: 1800 }, random);
}

/** Both ends of a session. */
export async function session(kem: Kem): Promise<{ readonly client: ClientSession; readonly server: ServerSession }> {
  const server = await enclave(kem);
  const handshake = await greet(kem, await server.attested());
  const { session, answer: serverHello } = await answer(server, handshake.hello);
  return { client: await handshake.finish(serverHello), server: session };
}
