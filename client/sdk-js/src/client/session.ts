/** Sessions: made when needed, renewed before their end, never used past it. */

import type { Bytes } from "../bytes.js";
import type { Roots } from "../roots.js";
import { MAX_BUNDLE } from "../steve/bundle.js";
import { HandshakeError } from "../steve/error.js";
import { ClientHandshake, contextHash, MAX_HANDSHAKE } from "../steve/handshake.js";
import type { ClientSession, Exchange } from "../steve/session.js";
import type { Kem } from "../steve/suite.js";
import { Turns } from "../steve/turns.js";
import type { Address } from "./address.js";
import { SteveError } from "./error.js";
import { type Attested, examine } from "./evidence.js";
import type { Rule, Trust } from "./policy.js";
import { askShort, TransportError } from "./transport.js";

/** What every session of a client is made by. */
export interface Terms {
  readonly rule: Rule;
  readonly roots: Roots;
  readonly kem: Kem;
  readonly appContext: Uint8Array;
  readonly allowPlaintextFallback: boolean;
  readonly freshEvidence: boolean;
  readonly timeoutMs: number;
}

/** What was verified when a session was made. */
export interface Established {
  readonly authority: string;
  readonly attested: Attested;
  readonly trust: Trust;
  readonly session: ClientSession;
}

interface Current extends Established {
  readonly born: Moment;
  used: Moment;
  /** From which age on another one is made, in milliseconds. */
  readonly renewAt: number;
}

/** An exchange that nothing was sent of. */
export interface Begun {
  readonly exchange: Exchange;
  readonly established: Established;
}

/** The sessions of one client, one at a time. */
export class Sessions {
  readonly #address: Address;
  readonly #terms: Terms;
  readonly #turns = new Turns();
  /** When the last handshakes were begun. */
  #handshakes: Moment[] = [];
  #current: Current | undefined;

  constructor(address: Address, terms: Terms) {
    this.#address = address;
    this.#terms = terms;
  }

  /** Begins an exchange, in a session that is made or renewed where it must be. */
  async begin(): Promise<Begun> {
    const current = await this.#turns.take(() => this.#ready());
    current.used = moment();
    return { exchange: await current.session.exchange(), established: current };
  }

  /** What the session that is used now was made of. */
  established(): Promise<Established> {
    return this.#turns.take(() => this.#ready());
  }

  /** The next exchange needs another session: this one seems to be gone. */
  forget(gone: Established): void {
    if (this.#current === gone) this.#current = undefined;
  }

  async #ready(): Promise<Current> {
    let current = this.#current;
    if (current !== undefined && isOver(current)) current = undefined;
    if (current === undefined) {
      this.#current = undefined;
      this.#current = await this.#make();
    } else if (age(current.born) >= current.renewAt) {
      // The session goes on to its end where no other can be made.
      this.#current = await this.#make().catch(() => current);
    }
    return this.#current ?? current ?? this.#make();
  }

  async #make(): Promise<Current> {
    const { authority } = this.#address;
    this.#handshakes = this.#handshakes.filter((then) => age(then) < MINUTE_MS);
    if (this.#handshakes.length >= HANDSHAKES_A_MINUTE) {
      throw new SteveError("TOO_MANY_HANDSHAKES", { authority, limit: HANDSHAKES_A_MINUTE });
    }
    const attested = await this.#attested();
    // An enclave that starts again is asked for evidence until it has some, which costs nobody a handshake.
    const born = moment();
    this.#handshakes.push(born);
    const session = await this.#shakeHands(attested);
    // The last step before anything is sent, so that what must be remembered is.
    const { rule, appContext, kem } = this.#terms;
    const trust = await rule.decide(attested, { authority, appContext, suite: kem.suite.name }, Date.now());
    // Clients that began together do not all come back together.
    const renewAt = session.lifetimeS * 1000 * (RENEW_FROM + Math.random() * RENEW_SPREAD);
    return { authority, attested, trust, session, born, used: born, renewAt };
  }

  async #attested(): Promise<Attested> {
    const { rule, roots, kem, allowPlaintextFallback, freshEvidence } = this.#terms;
    const nonce = freshEvidence ? crypto.getRandomValues(new Uint8Array(32)) : undefined;
    const what = { path: "evidence", expects: "application/cbor" } as const;
    const bundle = await this.#fetch(
      nonce === undefined
        ? { ...what, method: "GET" }
        : { ...what, method: "POST", contentType: "application/octet-stream", body: nonce },
      MAX_BUNDLE,
    );
    const { authority } = this.#address;
    const expected = { roots, ...rule.expected };
    const suite = kem.suite.name;
    return examine(bundle, { authority, expected, suite, allowPlaintextFallback, nonce, now: Date.now() });
  }

  async #shakeHands({ key }: Attested): Promise<ClientSession> {
    const { authority } = this.#address;
    try {
      const context = await contextHash(authority, this.#terms.appContext);
      const handshake = await ClientHandshake.start(this.#terms.kem, key, context);
      const type = "application/steve-hello";
      const what = {
        path: "session",
        method: "POST",
        contentType: type,
        expects: type,
        body: handshake.hello,
      } as const;
      return await handshake.finish(await this.#fetch(what, MAX_HANDSHAKE));
    } catch (cause) {
      if (!(cause instanceof HandshakeError)) throw cause;
      throw new SteveError("HANDSHAKE_FAILED", { authority }, { cause });
    }
  }

  async #fetch(what: Parameters<typeof askShort>[1], limit: number): Promise<Bytes> {
    try {
      return await askShort(this.#address, what, limit, this.#terms.timeoutMs);
    } catch (cause) {
      if (!(cause instanceof TransportError)) throw cause;
      const { status, code } = cause;
      throw new SteveError("UNREACHABLE", { authority: this.#address.authority, status, code }, { cause });
    }
  }
}

/** A moment by both clocks: one stands still while a machine sleeps, the other can be set back. */
interface Moment {
  readonly steady: number;
  readonly wall: number;
}

function moment(): Moment {
  return { steady: performance.now(), wall: Date.now() };
}

/** In milliseconds, by the clock that says more. */
function age(then: Moment): number {
  const now = moment();
  return Math.max(now.steady - then.steady, now.wall - then.wall);
}

function isOver({ session, born, used }: Current): boolean {
  return age(born) >= session.lifetimeS * 1000 || age(used) >= IDLE_MS;
}

/** The most handshakes within a minute. Honest servers need one in twenty. */
const HANDSHAKES_A_MINUTE = 3;
const MINUTE_MS = 60_000;
/** After so long without an exchange a session is not used again; servers end them after 600 s. */
const IDLE_MS = 570_000;
/** A session is renewed at 80 to 89 hundredths of its life. */
const RENEW_FROM = 0.8;
const RENEW_SPREAD = 0.09;
