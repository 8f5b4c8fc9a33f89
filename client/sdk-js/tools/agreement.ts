/**
 * Compares our verdicts with Rust's: reads what `cargo xtask agreement` writes, for as many seconds as
 * the argument says. Ends with 1 at a disagreement, which it writes to `agreement.json` whole.
 */

import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { AttestationError, type Verified } from "../src/index.js";
import { type Vector, verdictOf } from "../test/files.js";

interface Case extends Vector {
  readonly blame: string;
  /** What the refusal says; of a verified document what it shows. */
  readonly said: string;
}

const until = Date.now() + Number(process.argv[2] ?? 60) * 1000;
const outcomes = new Map<string, number>();
let count = 0;

for await (const line of createInterface({ input: process.stdin })) {
  const theirs = JSON.parse(line) as Case;
  const ours = await outcome(theirs);
  if (ours !== outcomeOf(theirs.expect, theirs.blame, theirs.said)) {
    writeFileSync("agreement.json", `${JSON.stringify({ ...theirs, ours }, undefined, 2)}\n`);
    console.error(`disagreement after ${count} documents, see agreement.json`);
    console.error(`  Rust:       ${theirs.expect}: ${theirs.said}\n  TypeScript: ${ours}`);
    process.exit(1);
  }
  count += 1;
  outcomes.set(theirs.expect, (outcomes.get(theirs.expect) ?? 0) + 1);
  if (Date.now() >= until) break;
}
console.log(`${count} documents, ${outcomes.size} different outcomes, no disagreement`);
console.log(
  [...outcomes]
    .sort(([, a], [, b]) => b - a)
    .map(([name, times]) => `  ${times} ${name}`)
    .join("\n"),
);
process.exit(0);

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
