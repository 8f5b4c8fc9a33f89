/**
 * Compares what we say with what Rust says: reads what `cargo xtask agreement` or `agreement-steve` writes, for as many
 * seconds as the argument says. Ends with 1 at a disagreement, which it writes to `agreement.json` whole.
 */

import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** One case, judged: what both say of it, and what kind of case it was. */
export interface Judged {
  readonly ours: string;
  readonly theirs: string;
  readonly outcome: string;
}

/** Compares case by case until the time is over. `what` names cases, in the plural. */
export async function compare<Case>(what: string, judge: (one: Case) => Promise<Judged>): Promise<never> {
  const until = Date.now() + Number(process.argv[2] ?? 60) * 1000;
  const outcomes = new Map<string, number>();
  let count = 0;

  for await (const line of createInterface({ input: process.stdin })) {
    const one = JSON.parse(line) as Case;
    const { ours, theirs, outcome } = await judge(one);
    if (ours !== theirs) {
      writeFileSync("agreement.json", `${JSON.stringify({ ...one, ours }, undefined, 2)}\n`);
      console.error(`disagreement after ${count} ${what}, see agreement.json`);
      console.error(`  Rust:       ${theirs}\n  TypeScript: ${ours}`);
      process.exit(1);
    }
    count += 1;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (Date.now() >= until) break;
  }
  console.log(`${count} ${what}, ${outcomes.size} different outcomes, no disagreement`);
  console.log(
    [...outcomes]
      .sort(([, a], [, b]) => b - a)
      .map(([name, times]) => `  ${times} ${name}`)
      .join("\n"),
  );
  process.exit(0);
}
