/** Trust on first use: what was seen first, kept so that it survives. */

import { concat, toHex } from "../bytes.js";
import { isZero } from "../policy.js";
import { ascii, sha256 } from "../steve/kdf.js";
import type { Verified } from "../verified.js";
import { SteveError } from "./error.js";
import type { Subject, Trust } from "./policy.js";

/** What was seen. */
export interface FirstUse {
  readonly schema: "caution.first-use/1";
  /** Host and port. */
  readonly authority: string;
  readonly suite: string;
  /** Registers by number, in hex: PCR0 to PCR2, the signer's, and those that were asked for. */
  readonly registers: Readonly<Record<string, string>>;
  /** When, RFC 3339. */
  readonly first_seen: string;
}

/** Where first sights are remembered. */
export interface TrustStore {
  /**
   * What is remembered under `key`, as it was given. Where nothing is: `undefined`, and `found` is remembered from now on, safe from a
   * crash when this resolves. Of several callers at once, in as many pages, exactly one gets `undefined`.
   *
   * Rejects with anything for anything else. A store that cannot be read remembers something that is not known.
   */
  getOrEnroll(key: string, found: FirstUse): Promise<unknown>;
}

/** Remembers, or compares with what is remembered. */
export async function firstUse(
  store: TrustStore,
  verified: Verified,
  asked: readonly number[],
  { authority, appContext, suite }: Subject,
  now: number,
): Promise<Trust> {
  const registers: Record<string, string> = {};
  for (const number of [0, 1, 2, 8, ...asked]) {
    const value = verified.pcrs.get(number);
    // Without a signer PCR8 is zero, and says nothing.
    if (value !== undefined && !(number === 8 && isZero(value))) registers[number] = value;
  }
  const first_seen = new Date(now).toISOString();
  const found: FirstUse = { schema: "caution.first-use/1", authority, suite, registers, first_seen };
  const key = toHex(await sha256(concat(ascii(`steve3 tofu\0${authority}\0`), appContext)));
  const known = await store.getOrEnroll(key, found).catch((cause: unknown) => {
    if (cause instanceof SteveError) throw cause;
    throw new SteveError("PCR_TRUST_STORAGE", { why: "the store failed" }, { cause });
  });
  if (known === undefined) return "tofu-enrolled";
  compare(read(known), found);
  return "tofu-matched";
}

function read(known: unknown): FirstUse {
  const record = known as Partial<FirstUse> | null;
  const registers = record?.registers ?? {};
  const isRecord =
    record?.schema === "caution.first-use/1" &&
    typeof record.suite === "string" &&
    ["0", "1", "2"].every((number) => typeof registers[number] === "string");
  if (!isRecord) throw new SteveError("PCR_TRUST_STORAGE", { why: "what the store holds is no record" });
  return known as FirstUse;
}

/** The first difference, with both values. */
function compare(known: FirstUse, found: FirstUse): void {
  const { authority } = found;
  const changed = (what: string, before: string, now: string) => {
    const values = { authority, what, known: before, found: now, firstSeen: known.first_seen };
    return new SteveError("PCR_TRUST_MISMATCH", values);
  };
  if (known.suite !== found.suite) throw changed("the suite", known.suite, found.suite);
  for (const number of Object.keys({ ...known.registers, ...found.registers })) {
    const [before = "absent", now = "absent"] = [known.registers[number], found.registers[number]];
    if (before !== now) throw changed(`PCR${number}`, before, now);
  }
}
