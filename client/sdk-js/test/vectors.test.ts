/** The language-neutral vectors of `specs/vectors/attest`, and `specs/attestation.md` against the code. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AttestationError, REFUSAL_NAMES } from "../src/index.js";
import { inCheckout, vector, vectors, verdictOf } from "./files.js";

interface Row {
  readonly blame: string;
  /** The names of the values it carries, as Rust spells them. */
  readonly carries: readonly string[];
}

/** The table of refusals in `specs/attestation.md`. */
function table(): ReadonlyMap<string, Row> {
  const text = readFileSync(inCheckout("specs/attestation.md"), "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|.*\|([^|]*)\|$/gm)];
  return new Map(
    rows.map(([, name = "", blame = "", carries = ""]) => [name, { blame, carries: carries.match(/\w+/g) ?? [] }]),
  );
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

test("every vector has the outcome it expects", async () => {
  const rows = table();
  const wrong: string[] = [];
  for (const one of vectors()) {
    let outcome = "ok";
    try {
      const verified = await verdictOf(one);
      assert.ok(verified.timestamp > 0 && verified.chain.length >= 2);
    } catch (error) {
      if (!(error instanceof AttestationError)) throw error;
      assert.equal(error.blame, rows.get(error.name)?.blame, error.name);
      assert.deepEqual(Object.keys(error.values).map(snakeCase), rows.get(error.name)?.carries, error.name);
      assert.match(error.message, /^[ -~…]{1,2000}$/, error.name);
      outcome = error.name;
    }
    if (outcome !== one.expect) wrong.push(`${one.name}: expected ${one.expect}, got ${outcome}`);
  }
  assert.deepEqual(wrong, []);
});

test("every refusal is specified, in this order, and has a vector", () => {
  assert.deepEqual(REFUSAL_NAMES, [...table().keys()]);
  const shown = new Set(vectors().map((vector) => vector.expect));
  assert.deepEqual(new Set(["ok", ...REFUSAL_NAMES]), shown);
});

test("refusals say what was found", async () => {
  const leaf = "the enclave's certificate is refused:";
  for (const [name, said] of [
    ["nonce-prefix", `the document carries the nonce ${"6e".repeat(32)}, not ours (${"6e".repeat(31)}), so it may be`],
    ["malformed-unprotected-entry", "not the empty map (a0): from byte 6 on stands a101382259"],
    ["certificate-long-serial", `${leaf} its serial number is longer than 20 bytes: ${"01".repeat(21)}`],
    [
      "certificate-two-algorithms",
      "1.2.840.10045.4.3.3 where it is signed and 1.2.840.10045.4.3.2 beside the signature",
    ],
    ["certificate-unique-identifier", `${leaf} it has a field that RFC 5280 forbids (a unique identifier, tag 0x82)`],
    ["certificate-sha256", `${leaf} it is signed with 1.2.840.10045.4.3.2, not with ECDSA and SHA-384`],
    ["certificate-p256-key", `${leaf} its key is one of 1.2.840.10045.2.1 with 1.2.840.10045.3.1.7, not an elliptic`],
    [
      "certificate-other-issuer-name",
      `${leaf} its issuer is \`DEVELOPMENT, not hardware: nobody\`, not the subject of the certificate before it, \`DEVELOPMENT, not hardware: instance\``,
    ],
  ] as const) {
    await assert.rejects(verdictOf(vector(name)), (error: Error) => {
      assert.ok(error.message.includes(said), error.message);
      return true;
    });
  }
});
