/** The built-in root is the one that AWS publishes and Rust has. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Roots } from "../src/index.js";
import { bytesOf, inCheckout } from "./files.js";

test("the built-in root is AWS's", () => {
  const der = bytesOf(inCheckout("core/attest/src/aws_root_g1.der"));
  assert.equal(
    createHash("sha256").update(der).digest("hex"),
    "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b",
  );
  assert.equal(Roots.aws().kindOf(der), "aws");
  assert.equal(Roots.devRoot(der).kindOf(der), "aws");
  assert.equal(Roots.fromDer([der]).kindOf(der), "aws");
});
