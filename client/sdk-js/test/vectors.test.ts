/** The language-neutral vectors of `specs/vectors/attest`, and `specs/attestation.md` against the code. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AttestationError, REFUSAL_NAMES } from "../src/index.js";
import { inCheckout, vectors, verdictOf } from "./files.js";

/** Names and blames of the table in `specs/attestation.md`. */
function table(): ReadonlyMap<string, string> {
  const text = readFileSync(inCheckout("specs/attestation.md"), "utf8");
  return new Map([...text.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name = "", blame = ""]) => [name, blame]));
}

test("every vector has the outcome it expects", async () => {
  const blames = table();
  const wrong: string[] = [];
  for (const vector of vectors()) {
    let outcome = "ok";
    try {
      const verified = await verdictOf(vector);
      assert.ok(verified.timestamp > 0 && verified.chain.length >= 2);
    } catch (error) {
      if (!(error instanceof AttestationError)) throw error;
      assert.equal(error.blame, blames.get(error.name), error.name);
      outcome = error.name;
    }
    if (outcome !== vector.expect) wrong.push(`${vector.name}: expected ${vector.expect}, got ${outcome}`);
  }
  assert.deepEqual(wrong, []);
});

test("every refusal is specified, in this order, and has a vector", () => {
  assert.deepEqual(REFUSAL_NAMES, [...table().keys()]);
  const shown = new Set(vectors().map((vector) => vector.expect));
  assert.deepEqual(new Set(["ok", ...REFUSAL_NAMES]), shown);
});
