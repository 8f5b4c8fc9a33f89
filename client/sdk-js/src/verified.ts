/** What a verified document says. */

import { type Bytes, copyOf } from "./bytes.js";
import type { CertificateSummary } from "./certificate.js";
import { type Mismatch, refusal } from "./error.js";
import type { UnverifiedFields } from "./evidence.js";
import type { Question, Registers } from "./policy.js";
import type { RootKind } from "./roots.js";

/** PCR0, PCR1 and PCR2 in hex. */
export interface Measurements {
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
}

/** When and how a document was checked: that it answered a fresh challenge, or that it was authentic once. */
export interface Checked {
  readonly call: "live" | "archived";
  /** The time at which certificates had to be valid, in milliseconds since 1970. */
  readonly at: number;
}

/** What verification found out beside the fields. */
export interface Authentic {
  readonly root: RootKind;
  readonly chain: readonly CertificateSummary[];
  readonly measurements: Measurements;
  readonly isDebug: boolean;
  readonly checked: Checked;
}

/** A document that a trusted root vouches for and that answers the questions. */
export class Verified {
  /** Who vouched. */
  readonly root: RootKind;
  /** The certificates, root first, the enclave's own last. */
  readonly chain: readonly CertificateSummary[];
  /** PCR0, PCR1 and PCR2. All zero when `isDebug`. */
  readonly measurements: Measurements;
  /** Whether the enclave runs in debug mode; possible only when that was allowed. */
  readonly isDebug: boolean;
  /** When and how everything was checked. */
  readonly checked: Checked;
  /** The module's name. */
  readonly moduleId: string;
  /** When the document was signed, by the module's clock, in milliseconds since 1970. */
  readonly timestamp: number;
  /** All registers of the document, in hex. */
  readonly pcrs: ReadonlyMap<number, string>;
  /** What the enclave's program has to say, at most 1024 bytes. */
  readonly userData: Bytes | null;
  /** A key the enclave wants to be known by, at most 1024 bytes. */
  readonly publicKey: Bytes | null;
  /** The challenge the document answers. */
  readonly nonce: Bytes | null;

  /** For `verify` alone: whoever makes one by hand has verified nothing. */
  constructor(fields: UnverifiedFields, state: Authentic) {
    this.root = state.root;
    this.chain = state.chain;
    this.measurements = state.measurements;
    this.isDebug = state.isDebug;
    this.checked = state.checked;
    this.moduleId = fields.moduleId;
    // It lies inside the leaf's validity, so before the year 10000.
    this.timestamp = Number(fields.timestamp);
    this.pcrs = new Map([...fields.pcrs].sort(([a], [b]) => a - b));
    this.userData = fields.userData && copyOf(fields.userData);
    this.publicKey = fields.publicKey && copyOf(fields.publicKey);
    this.nonce = fields.nonce && copyOf(fields.nonce);
    Object.freeze(this);
  }

  /** The last moment at which the enclave's own certificate is valid. */
  get leafValidUntil(): number {
    return this.chain.at(-1)?.notAfter ?? 0;
  }

  /** The last moment at which the whole chain is valid. */
  get chainValidUntil(): number {
    return Math.min(...this.chain.map((certificate) => certificate.notAfter));
  }
}

/** Compares with each profile as a whole; what is reported are the differences to the first that differs least. */
export function compare(pcrs: ReadonlyMap<number, string>, { profiles, registers }: Question): void {
  const differences = profiles.map((profile) => differing(pcrs, profile));
  const fewest = Math.min(...differences.map((one) => one.length));
  const closest = differences.find((one) => one.length === fewest) ?? [];
  const all = [...closest, ...differing(pcrs, registers)];
  const expected = closest.length === 0 ? 0 : profiles.length;
  if (all.length > 0) throw refusal("PcrMismatch", { registers: all, profiles: expected });
}

/** Goes through what is expected, never through what is there: a register that is absent differs. */
function differing(pcrs: ReadonlyMap<number, string>, expected: Registers): readonly Mismatch[] {
  const all = expected.map(
    ([register, value]): Mismatch => ({ register, expected: value, actual: pcrs.get(register) ?? null }),
  );
  return all.filter((one) => one.actual !== one.expected);
}
