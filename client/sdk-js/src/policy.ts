/** What a verifier asks of a document. */

import { type Bytes, copyOf } from "./bytes.js";
import { refusal } from "./error.js";
import { Roots } from "./roots.js";

/** The registers that an image decides, 96 hex digits each. */
export interface ImagePcrs {
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
  /** That of an image's signer. */
  readonly pcr8?: string;
}

/** Which enclave it must be. The empty one asks nothing but that hardware vouches for it and that it is no debug enclave. */
export interface Expected {
  /** Whose word counts; AWS's alone when left out. */
  readonly roots?: Roots;
  /**
   * Images, each with all its registers. The document must show all registers of one of them: they
   * are never mixed. None: any image.
   */
  readonly profiles?: readonly ImagePcrs[];
  /**
   * Registers it must show besides, by number, in hex: 3 (the parent's IAM role), 4 (the parent
   * instance), 8 (the image's signer), or those of the application.
   */
  readonly registers?: Readonly<Record<number, string>>;
  /** Whether a debug enclave's document can verify, which proves nothing about what runs. */
  readonly allowDebug?: boolean;
}

/** A question to a running enclave. All of it is answered now, or refused. */
export interface Live extends Expected {
  /** The clock, in milliseconds since 1970: certificates must be valid at this time. */
  readonly now: number;
  /** The challenge that was sent and that the document must carry, byte for byte. Empty is misuse. */
  readonly nonce: Uint8Array;
  /** How many milliseconds before `now` the document may have been signed. */
  readonly maxAgeMs: number;
}

/**
 * A question to a document that was kept.
 *
 * It was authentic when it was made; nothing tells whether the enclave still runs, and only the
 * nonce, where one was kept beside it, whether it answered anybody.
 */
export interface Archived extends Expected {
  /** The time at which certificates must have been valid; the document's own time when left out. */
  readonly at?: number;
  /** The challenge the document must carry. Empty is misuse. */
  readonly nonce?: Uint8Array;
}

/** What both questions have in common; nobody can change it while it is asked. */
export interface Question {
  readonly call: "live" | "archived";
  /** The time of checking; the document's own when absent. */
  readonly at: number | undefined;
  readonly nonce: Bytes | undefined;
  readonly maxAgeMs: number | undefined;
  readonly roots: Roots;
  readonly profiles: readonly Registers[];
  readonly registers: Registers;
  readonly allowDebug: boolean;
}

/** Register numbers and their values, in order. */
export type Registers = readonly (readonly [number, string])[];

/** Takes a live question apart; everything in it is required. */
export function readLive(live: Live): Question {
  checkKeys(live, [...EXPECTED, "now", "nonce", "maxAgeMs"]);
  const [at, maxAgeMs] = [whole("now", live.now), whole("maxAgeMs", live.maxAgeMs)];
  return { call: "live", at, nonce: challenge(live.nonce), maxAgeMs, ...readExpected(live) };
}

export function readArchived(archived: Archived): Question {
  checkKeys(archived, [...EXPECTED, "at", "nonce"]);
  const at = archived.at === undefined ? undefined : whole("at", archived.at);
  const nonce = archived.nonce === undefined ? undefined : challenge(archived.nonce);
  return { call: "archived", at, nonce, maxAgeMs: undefined, ...readExpected(archived) };
}

/** Whether the question is one that an honest enclave could answer. */
export function checkQuestion({ profiles, registers, nonce }: Question): void {
  const zero = [...profiles.flat(), ...registers].find(([, value]) => isZero(value));
  if (zero !== undefined) throw refusal("ZeroExpectation", { register: zero[0] });
  if (nonce?.length === 0) throw refusal("EmptyNonce", {});
}

/** Whether a register in hex is zero. */
export function isZero(value: string): boolean {
  return /^0+$/.test(value);
}

/**
 * Types are checked at run time, too: in JavaScript a nonce that was lost on the way is `undefined`,
 * a misspelt key asks nothing, and a time that is no number compares with nothing.
 */
function checkKeys(question: object, known: readonly string[]): void {
  for (const [key, value] of Object.entries(question)) {
    if (!known.includes(key)) throw new TypeError(`\`${key}\` is no key of this question; it has ${known.join(", ")}.`);
    if (value === undefined || value === null) {
      throw new TypeError(`\`${key}\` has no value; leave the key out to ask nothing.`);
    }
  }
}

function readExpected({ roots = Roots.aws(), profiles = [], registers = {}, allowDebug = false }: Expected) {
  if (!(roots instanceof Roots)) throw new TypeError("`roots` is no `Roots`.");
  if (typeof allowDebug !== "boolean") throw new TypeError("`allowDebug` is no boolean.");
  if (!Array.isArray(profiles)) throw new TypeError("`profiles` is no list of images.");
  return { roots, allowDebug, profiles: profiles.map(readProfile), registers: readRegisters(registers) };
}

function readProfile(profile: ImagePcrs): Registers {
  checkKeys(profile, ["pcr0", "pcr1", "pcr2", "pcr8"]);
  const { pcr0, pcr1, pcr2, pcr8 } = profile;
  const signer = pcr8 === undefined ? [] : [[8, pcr(8, pcr8)] as const];
  return [[0, pcr(0, pcr0)], [1, pcr(1, pcr1)], [2, pcr(2, pcr2)], ...signer];
}

function readRegisters(registers: Readonly<Record<number, string>>): Registers {
  // A `Map` or a number has no entries, and would ask nothing.
  if (Object.prototype.toString.call(registers) !== "[object Object]") {
    throw new TypeError("`registers` is no object of PCR numbers and values.");
  }
  return Object.entries(registers).map(([text, value]) => {
    const register = Number(text);
    if (/^\d{1,2}$/.test(text) && String(register) === text && register < 32) return [register, pcr(register, value)];
    throw new TypeError(`\`${text}\` is not a PCR number (0 to 31).`);
  });
}

function pcr(register: number, value: string): string {
  if (typeof value === "string" && /^[0-9a-fA-F]{96}$/.test(value)) return value.toLowerCase();
  throw new TypeError(`The expected value of PCR${register} is not 96 hex digits.`);
}

function whole(key: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new TypeError(`\`${key}\` is ${String(value)}; it takes a whole number of milliseconds.`);
}

function challenge(nonce: Uint8Array): Bytes {
  if (nonce instanceof Uint8Array) return copyOf(nonce);
  throw new TypeError("`nonce` is no Uint8Array.");
}

const EXPECTED = ["roots", "profiles", "registers", "allowDebug"] as const;
