/** Signatures that Wycheproof says verify or do not. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { ecdsaSignature } from "../src/certificate.js";
import { isPoint, isSignedBy, publicKey } from "../src/p384.js";
import { hex, outsideVectors } from "./files.js";

interface Suite {
  readonly testGroups: readonly {
    readonly publicKey: { readonly uncompressed: string };
    readonly tests: readonly { readonly msg: string; readonly sig: string; readonly result: string }[];
  }[];
}

const path = `${outsideVectors()}/misc/wycheproof/ecdsa_secp384r1_sha384_test.json`;

test("Wycheproof's signatures verify or do not as it says", { skip: !existsSync(path) }, async () => {
  const suite = JSON.parse(readFileSync(path, "utf8")) as Suite;
  let checked = 0;
  for (const group of suite.testGroups) {
    const point = hex(group.publicKey.uncompressed);
    assert.ok(isPoint(point));
    const key = await publicKey(point);
    for (const one of group.tests) {
      const signature = ecdsaSignature(hex(one.sig));
      const holds = signature !== undefined && (await isSignedBy(key, hex(one.msg), signature));
      assert.equal(holds, one.result === "valid", JSON.stringify(one));
      checked += 1;
    }
  }
  assert.ok(checked > 400);
});

test("points next to the curve are none", () => {
  const generator = hex(
    "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7" +
      "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
  );
  assert.ok(isPoint(generator));
  assert.ok(!isPoint(generator.slice(1)));
  for (const at of [0, 1, 48, 49, 96]) {
    const moved = generator.slice();
    moved[at] = (moved[at] ?? 0) ^ 1;
    assert.ok(!isPoint(moved), `byte ${at}`);
  }
  // The same point with y + p, which no longer fits, and x = p, which stands for zero.
  assert.ok(!isPoint(Uint8Array.of(4, ...new Uint8Array(96).fill(0xff))));
});
