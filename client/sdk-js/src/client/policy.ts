/** Whom to trust. There is no policy that trusts anybody. */

import type { ImagePcrs } from "../policy.js";
import { checkQuestion, readArchived } from "../policy.js";
import type { SuiteName } from "../steve/suite.js";
import { SteveError } from "./error.js";
import type { Attested } from "./evidence.js";
import { IndexedDbStore } from "./indexedDb.js";
import { openRelease, type ReleaseMemory, type SignedRelease } from "./release.js";
import { firstUse, type TrustStore } from "./tofu.js";

/** Which enclaves a client speaks to. Plain data, so that it passes to workers, but for a store of one's own. */
export type Policy = PinnedPolicy | TofuPolicy | SignedPolicy;

interface Common {
  /**
   * Registers expected besides, by number, in hex: 3 (the parent's IAM role), 4 (the parent instance), 8 (the image's signer).
   * The same image runs wherever anybody starts it; these say whose enclave it is.
   */
  readonly registers?: Readonly<Record<number, string>>;
}

/** Trusts these images: all registers of one of them, never a mixture. */
export interface PinnedPolicy extends Common {
  readonly mode: "pinned";
  readonly profiles: readonly ImagePcrs[];
}

/**
 * Trusts what it sees first, remembers that before the first request is sent, and refuses everything else from then on. Whoever
 * is in the place of the application the first time is trusted for good: pin images where you can.
 */
export interface TofuPolicy extends Common {
  readonly mode: "tofu";
  /** IndexedDB when left out. */
  readonly store?: TrustStore;
}

/** Trusts the images of a signed release, and remembers its version: an older one is refused from then on. */
export interface SignedPolicy extends Common, SignedRelease {
  readonly mode: "signed";
  /** IndexedDB when left out. */
  readonly memory?: ReleaseMemory;
}

/** How an enclave came to be trusted. */
export type Trust = "pinned" | "tofu-enrolled" | "tofu-matched" | `signed-release-${number}`;

/** Of whom a decision is. */
export interface Subject {
  readonly authority: string;
  readonly appContext: Uint8Array;
  readonly suite: SuiteName;
}

/** A policy that was read. */
export interface Rule {
  readonly expected: {
    readonly profiles: readonly ImagePcrs[];
    readonly registers: Readonly<Record<number, string>>;
  };
  /**
   * The last question, once the enclave has confirmed that it holds the attested key and before anything is sent.
   * Whatever must be remembered is remembered when this resolves.
   */
  decide(attested: Attested, who: Subject, now: number): Promise<Trust>;
}

/** Reads a policy; whatever is none is an error, so that a slip never asks less than was meant. */
export async function ruleOf(policy: Policy): Promise<Rule> {
  const mode: unknown = (policy as Policy | undefined)?.mode;
  if (mode === "pinned") return pinned(policy as PinnedPolicy);
  if (mode === "tofu") return tofu(policy as TofuPolicy);
  if (mode === "signed") return signed(policy as SignedPolicy);
  throw invalid("it is of no mode: `pinned`, `tofu` or `signed`, and there is no other");
}

function pinned(policy: PinnedPolicy): Rule {
  const { profiles, registers = {} } = keysOf(policy, ["mode", "profiles", "registers"]);
  if (!Array.isArray(profiles) || profiles.length === 0)
    throw invalid("no image is pinned, so nothing would be checked");
  return { expected: checked({ profiles, registers }), decide: async () => "pinned" };
}

function tofu(policy: TofuPolicy): Rule {
  const { store = new IndexedDbStore(), registers = {} } = keysOf(policy, ["mode", "store", "registers"]);
  return {
    expected: checked({ profiles: [], registers }),
    decide: (attested, who, now) => firstUse(store, attested.verified, Object.keys(registers).map(Number), who, now),
  };
}

async function signed(policy: SignedPolicy): Promise<Rule> {
  const { memory = new IndexedDbStore(), registers = {}, ...release } = keysOf(policy, SIGNED_KEYS);
  const opened = await openRelease(release);
  return {
    expected: checked({ profiles: opened.profiles, registers }),
    decide: async (_attested, _who, now) => {
      await opened.admit(memory, now);
      return `signed-release-${opened.version}`;
    },
  };
}

function keysOf<Kind extends Policy>(policy: Kind, known: readonly string[]): Kind {
  for (const [key, value] of Object.entries(policy)) {
    if (!known.includes(key)) throw invalid(`\`${key}\` is no key of it; it has ${known.join(", ")}`);
    if (value === undefined || value === null) throw invalid(`\`${key}\` has no value; leave the key out`);
  }
  return policy;
}

/** Insists that the registers are registers, and none that only a debug enclave shows. */
function checked(expected: Rule["expected"]): Rule["expected"] {
  try {
    checkQuestion(readArchived(expected));
  } catch (cause) {
    throw new SteveError("POLICY_INVALID", { why: (cause as Error).message.replace(/\.$/, "") }, { cause });
  }
  return expected;
}

function invalid(why: string): SteveError {
  return new SteveError("POLICY_INVALID", { why });
}

const SIGNED_KEYS = ["mode", "app", "keys", "threshold", "release", "signatures", "memory", "registers"];
