/**
 * Compares what we make of STEVE's messages with what Rust makes of them: reads what `cargo xtask
 * agreement-steve` writes, for as many seconds as the argument says. Ends with 1 at a disagreement, which it
 * writes to `agreement.json` whole.
 */

import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { type Case, Player } from "../test/steve/player.js";

const until = Date.now() + Number(process.argv[2] ?? 60) * 1000;
const outcomes = new Map<string, number>();
const player = new Player();
let count = 0;

for await (const line of createInterface({ input: process.stdin })) {
  const theirs = JSON.parse(line) as Case;
  const ours = await player.say(theirs);
  if (ours !== theirs.said) {
    writeFileSync("agreement.json", `${JSON.stringify({ ...theirs, ours }, undefined, 2)}\n`);
    console.error(`disagreement at message ${count}, see agreement.json`);
    process.exit(1);
  }
  count += 1;
  const outcome = `${theirs.of} ${theirs.expect}`;
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  if (Date.now() >= until) break;
}
console.log(`${count} messages, ${outcomes.size} different outcomes, no disagreement`);
console.log(
  [...outcomes]
    .sort(([, a], [, b]) => b - a)
    .map(([name, times]) => `  ${times} ${name}`)
    .join("\n"),
);
process.exit(0);
