/** Everything that can go wrong, by name, and whether the request may have run all the same. */

import type { Mismatch } from "../error.js";
import type { SealedError } from "../steve/fault.js";

/** What each error carries. */
export interface SteveErrorValues {
  ADDRESS_INVALID: { url: string; why: string };
  POLICY_INVALID: { why: string };
  INVALID_REQUEST: { why: string };
  UNREACHABLE: { authority: string; status: number | null; code: string | null };
  EVIDENCE_INVALID: { authority: string };
  EVIDENCE_STALE: { authority: string };
  EVIDENCE_NONCE: { authority: string };
  KEY_BINDING: { authority: string };
  PLAINTEXT_FALLBACK_REFUSED: { authority: string };
  SUITE_MISMATCH: { authority: string; expected: string; found: readonly string[] };
  PCR_POLICY_MISMATCH: { authority: string; registers: readonly Mismatch[] };
  PCR_TRUST_MISMATCH: { authority: string; what: string; known: string; found: string; firstSeen: string };
  PCR_TRUST_STORAGE: { why: string };
  RELEASE_INVALID: { why: string };
  RELEASE_EXPIRED: { until: number; now: number };
  RELEASE_ROLLBACK: { seen: number; offered: number };
  RELEASE_REWRITTEN: { version: number; seen: string; offered: string };
  HANDSHAKE_FAILED: { authority: string };
  TOO_MANY_HANDSHAKES: { authority: string; limit: number };
  STEVE_AMBIGUOUS: { authority: string; status: number | null; code: string | null };
  STEVE_SEALED: SealedError;
  STEVE_TRUNCATED: object;
  RESPONSE_INVALID: object;
  REDIRECT_REFUSED: { location: string; why: string };
}

/** The stable name of an error. */
export type SteveErrorName = keyof SteveErrorValues;

/**
 * Why there is no response, or no rest of one. `name` is for programs, and nothing was sent twice. `cause` is what stands
 * behind it: an `AttestationError`, a `HandshakeError`, what the platform said.
 */
export class SteveError<Name extends SteveErrorName = SteveErrorName> extends Error {
  override readonly name: Name;
  readonly values: Readonly<SteveErrorValues[Name]>;
  /** Whether the app may have acted on the request. Whoever repeats it then may have the app act twice. */
  readonly mayHaveRun: boolean;

  constructor(name: Name, values: SteveErrorValues[Name], options?: ErrorOptions) {
    super(WORDS[name](values), options);
    this.name = name;
    this.values = values;
    this.mayHaveRun = RAN.includes(name) || (name === "STEVE_SEALED" && (values as SealedError).executed);
  }

  /** Whether it is the error of this name, with its values. */
  is<Wanted extends SteveErrorName>(name: Wanted): this is SteveError<Wanted> {
    return (this.name as SteveErrorName) === name;
  }
}

type Words = { readonly [Name in SteveErrorName]: (values: SteveErrorValues[Name]) => string };

function answered({ status, code }: { status: number | null; code: string | null }): string {
  if (status === null) return code === null ? "" : ` It closed with ${code}, which anybody on the way can have said.`;
  return ` It answered HTTP ${status}${code === null ? "" : ` (${code})`}, which anybody on the way can have said.`;
}

const when = (milliseconds: number) => new Date(milliseconds).toISOString();

const WORDS: Words = {
  ADDRESS_INVALID: (v) => `\`${v.url}\` is no address of an application: ${v.why}.`,
  POLICY_INVALID: (v) => `The policy is none: ${v.why}.`,
  INVALID_REQUEST: (v) => `The request cannot be sent: ${v.why}.`,
  UNREACHABLE: (v) => `${v.authority} cannot be reached; nothing was sent.${answered(v)}`,
  EVIDENCE_INVALID: (v) => `What ${v.authority} shows is no evidence of an enclave that counts; nothing was sent.`,
  EVIDENCE_STALE: (v) => `The evidence of ${v.authority} is of another time; nothing was sent.`,
  EVIDENCE_NONCE: (v) => `The evidence of ${v.authority} answers another challenge; nothing was sent.`,
  KEY_BINDING: (v) => `The evidence of ${v.authority} vouches for other keys than those beside it; nothing was sent.`,
  PLAINTEXT_FALLBACK_REFUSED: (v) =>
    `The enclave of ${v.authority} lets requests without encryption through to its app; nothing was sent. ` +
    "`allowPlaintextFallback` accepts that.",
  SUITE_MISMATCH: (v) =>
    `${v.authority} has suite ${v.found.join(", ")}, and ${v.expected} is pinned; nothing was sent.`,
  PCR_POLICY_MISMATCH: (v) =>
    `${v.authority} runs another program than the policy says (${v.registers.map(differs).join("; ")}); nothing was sent.`,
  PCR_TRUST_MISMATCH: (v) =>
    `${v.what} of ${v.authority} was ${v.known} when it was first seen, ${v.firstSeen}, and is ${v.found} now; nothing was sent.`,
  PCR_TRUST_STORAGE: (v) => `What was trusted before is not known, since ${v.why}; nothing was sent.`,
  RELEASE_INVALID: (v) => `The signed release does not count: ${v.why}.`,
  RELEASE_EXPIRED: (v) => `The signed release counts until ${when(v.until)}, and it is ${when(v.now)}.`,
  RELEASE_ROLLBACK: (v) => `The signed release is version ${v.offered}, and version ${v.seen} was seen before.`,
  RELEASE_REWRITTEN: (v) =>
    `Version ${v.version} of the signed release was another file before (SHA-256 ${v.seen}, now ${v.offered}).`,
  HANDSHAKE_FAILED: (v) => `What answers for ${v.authority} does not hold the attested key; nothing was sent.`,
  TOO_MANY_HANDSHAKES: (v) =>
    `${v.authority} needs a new session again and again, ${v.limit} within a minute; nothing was sent.`,
  STEVE_AMBIGUOUS: (v) =>
    `${v.authority} gave no answer from inside the enclave. The request may have run, or not: nothing here can tell.${answered(v)}`,
  STEVE_SEALED: (v) =>
    `The enclave has no response: ${v.code} (${v.executed ? "the app may have acted" : "the app did not act"}` +
    `${v.retryAfterS === null ? "" : `; it is worth another try in ${v.retryAfterS} s`}).`,
  STEVE_TRUNCATED: () => "The response was cut on its way, or changed at its end. The request may have run.",
  RESPONSE_INVALID: () => "The response was changed on its way, or makes no sense. The request may have run.",
  REDIRECT_REFUSED: (v) => `The app redirects to \`${v.location}\`: ${v.why}.`,
};

function differs({ register, expected, actual }: Mismatch): string {
  return `PCR${register} is ${actual ?? "absent"}, not ${expected}`;
}

/** After these the app may have acted. */
const RAN: readonly SteveErrorName[] = ["STEVE_AMBIGUOUS", "STEVE_TRUNCATED", "RESPONSE_INVALID", "REDIRECT_REFUSED"];
