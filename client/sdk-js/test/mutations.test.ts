/** Nothing of a document can be changed unnoticed, and no bytes bring the reader down. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bytes } from "../src/bytes.js";
import { AttestationError, unverifiedFields, verifyArchived } from "../src/index.js";
import { bytesOf, outsideVectors } from "./files.js";

const folder = outsideVectors();
const skip = folder === undefined;
/** A time at which it verifies. */
const AT = 1_754_772_358_546;

function document(): Bytes {
  return bytesOf(`${folder}/nitro/valid/20250809T204558Z-2792d481.cose`);
}

async function isRefused(bytes: Bytes): Promise<boolean> {
  try {
    await verifyArchived(bytes, { at: AT, allowDebug: true });
    return false;
  } catch (error) {
    if (error instanceof AttestationError) return true;
    throw error;
  }
}

test("flipped bits are noticed", { skip }, async () => {
  const bytes = document();
  assert.equal(await isRefused(bytes), false);
  const bits = bytes.length * 8;
  // The whole structure in front, then a bit here and there, then the signature's end.
  for (let bit = 0; bit < bits; bit += bit < 24 * 8 || bit >= bits - 8 ? 1 : 53) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.ok(await isRefused(flipped), `bit ${bit} of the document can be flipped`);
  }
});

test("every cut is refused by name", { skip }, () => {
  const bytes = document();
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => unverifiedFields(bytes.slice(0, length)), { name: /^(Truncated|UnprotectedHeader)$/ });
  }
});

test("bytes that change while they are verified are not looked at again", { skip }, async () => {
  const bytes = document();
  const verdict = verifyArchived(bytes, { at: AT, allowDebug: true });
  bytes.fill(0);
  assert.equal((await verdict).timestamp, AT);
});
