/** The example's scripts are this package's. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inCheckout, inPackage } from "./files.js";

test("examples/secret-notes serves what this package builds", () => {
  const copies = [
    ["client.min.js", "register.js"],
    ["enclave-sw.js", "enclave-sw.js"],
  ] as const;
  for (const [bundle, copy] of copies) {
    const [from, to] = [inPackage(`dist/${bundle}`), inCheckout(`examples/secret-notes/web/${copy}`)];
    const isSame = readFileSync(from).equals(readFileSync(to));
    assert.ok(isSame, `\`cp client/sdk-js/dist/${bundle} examples/secret-notes/web/${copy}\` and commit it`);
  }
});
