/** Do we say of documents what Rust says? Reads what `cargo xtask agreement` writes. */

import { AttestationError, type Verified } from "../src/index.js";
import { type Vector, verdictOf } from "../test/files.js";
import { compare } from "./compare.js";

interface Case extends Vector {
  readonly blame: string;
  /** What the refusal says; of a verified document what it shows. */
  readonly said: string;
}

await compare<Case>("documents", async (one) => ({
  ours: await outcome(one),
  theirs: outcomeOf(one.expect, one.blame, one.said),
  outcome: one.expect,
}));

async function outcome(one: Case): Promise<string> {
  try {
    return outcomeOf("ok", "", shown(await verdictOf(one)));
  } catch (error) {
    if (error instanceof AttestationError) return outcomeOf(error.name, error.blame, error.message);
    return String(error);
  }
}

/** Where a DER reader stops is its own business. */
function outcomeOf(name: string, blame: string, said: string): string {
  return `${name} (${blame}): ${name === "Der" ? said.replace(/\(at byte .*/, "") : said}`;
}

/** What a verified document shows, as far as two readers could differ. */
function shown(verified: Verified): string {
  const names = verified.chain.map((one) => `${one.commonName} ${one.notBefore}-${one.notAfter} ${one.sha256}`);
  const pcrs = [...verified.pcrs].map(([register, pcr]) => `${register}=${pcr}`);
  const fields = [verified.publicKey, verified.userData, verified.nonce].map((bytes) =>
    bytes === null ? "null" : Buffer.from(bytes).toString("hex"),
  );
  const { moduleId, timestamp, isDebug } = verified;
  return `${moduleId} ${timestamp} ${isDebug} ${fields.join(" ")} ${pcrs.join(",")} ${names.join("; ")}`;
}
