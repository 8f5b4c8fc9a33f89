/** A session's keys, and the exchanges that run under it. */

import { type Bytes, concat, copyOf } from "../bytes.js";
import { Block } from "./block.js";
import { HandshakeError } from "./error.js";
import { ascii, expand, hkdf, hkdfKey, pseudorandomKey } from "./kdf.js";
import { Opener } from "./opener.js";
import { Sealer } from "./sealer.js";
import type { SuiteName } from "./suite.js";

/** What one session allows. */
export interface Limits {
  /** The longest content of a record, in bytes. */
  readonly maxChunk: number;
  /** The most exchanges at a time. */
  readonly concurrency: number;
  /** How far behind the newest exchange one may begin. */
  readonly window: number;
}

interface Range {
  readonly least: number;
  readonly most: number;
}

/** What `maxChunk` may be. */
export const MAX_CHUNK: Range = { least: 16_384, most: 65_536 };

export function checkLimit(what: string, value: number, { least, most }: Range): void {
  if (!(Number.isInteger(value) && value >= least && value <= most)) {
    throw new HandshakeError("Limit", { what, value, least, most });
  }
}

/** What a server says, checked by the client that offered `offered` bytes. */
export function checkLimits(limits: Limits, offered: number): void {
  checkLimit("max_chunk", limits.maxChunk, { ...MAX_CHUNK, most: offered });
  checkLimit("concurrency", limits.concurrency, { least: 1, most: 65_536 });
  checkLimit("window", limits.window, { least: WINDOW, most: WINDOW });
}

/** What follows from the master secret. */
export interface Schedule {
  /** The digest of the handshake. */
  readonly th: Bytes;
  readonly client: CryptoKey;
  readonly server: CryptoKey;
  readonly exporter: CryptoKey;
  readonly confirmation: Bytes;
}

/** `K(l)` for every label `l`. Overwrites `master`. */
export async function scheduleOf(th: Bytes, master: Bytes): Promise<Schedule> {
  const key = await hkdfKey(master);
  const secret = (label: string) => hkdf(th, key, ascii(`steve3 ${label}`), 32);
  return {
    th,
    client: await hkdfKey(await secret("c2s")),
    server: await hkdfKey(await secret("s2c")),
    exporter: await pseudorandomKey(th, await secret("exporter")),
    confirmation: await secret("confirm"),
  };
}

/** The keys of one direction of exchange `x`, a number of eight bytes. */
export function blockOf(th: Bytes, direction: CryptoKey, x: Bytes): Promise<Block> {
  return Block.of(th, direction, concat(ascii("steve3 x"), x));
}

/** A request and its response: what goes in front of the one, what seals it, what opens the other. */
export interface Exchange {
  /** 25 bytes in front of the request: `1 || session_id || x`. */
  readonly header: Bytes;
  readonly sealer: Sealer;
  readonly opener: Opener;
}

/** A session whose server has confirmed that it holds the attested key. */
export class ClientSession {
  readonly suite: SuiteName;
  /** What the server allows. */
  readonly limits: Limits;
  /** For how many seconds after the handshake exchanges may begin. */
  readonly lifetimeS: number;
  readonly #id: Bytes;
  readonly #schedule: Schedule;
  #next = 1n;

  /** For handshakes alone. */
  constructor(id: Bytes, suite: SuiteName, schedule: Schedule, limits: Limits, lifetimeS: number) {
    this.#id = id;
    this.suite = suite;
    this.#schedule = schedule;
    this.limits = Object.freeze(limits);
    this.lifetimeS = lifetimeS;
  }

  /** Its name on the wire, 16 bytes. */
  get id(): Bytes {
    return copyOf(this.#id);
  }

  /** The digest of the handshake, which both sides share: names this session in receipts. */
  get transcriptHash(): Bytes {
    return copyOf(this.#schedule.th);
  }

  /** Begins an exchange, with a number of its own. */
  async exchange(): Promise<Exchange> {
    const x = this.#next;
    this.#next += 1n;
    const { th, client, server } = this.#schedule;
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, x);
    const { maxChunk } = this.limits;
    return {
      header: concat(VERSION, this.#id, number),
      sealer: new Sealer(await blockOf(th, client, number), maxChunk),
      opener: new Opener(await blockOf(th, server, number), maxChunk),
    };
  }

  /** A secret of this session for another protocol's use, 32 bytes. */
  exporter(label: Uint8Array, context: Uint8Array): Promise<Bytes> {
    return expand(this.#schedule.exporter, concat(label, Uint8Array.of(0), context));
  }
}

/** The first byte of every message. */
export const VERSION = Uint8Array.of(1);
/** How far behind the newest exchange one may begin. */
const WINDOW = 4096;
