/** CBOR is read in its shortest form and no other, as in Rust's `core/attest/src/cbor.rs`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Reader } from "../src/cbor.js";
import { hex } from "./files.js";

function reader(text: string, base = 0): Reader {
  return new Reader(hex(text), base);
}

test("only the shortest form is read", () => {
  for (const [text, value] of [
    ["17", 23n],
    ["1818", 24n],
    ["190100", 256n],
    ["1a00010000", 65_536n],
    ["1b0000000100000000", 1n << 32n],
    ["1bffffffffffffffff", (1n << 64n) - 1n],
  ] as const) {
    assert.equal(reader(text).uint(), value);
    for (let cut = 0; cut < text.length / 2; cut++) {
      assert.throws(() => reader(text.slice(0, cut * 2), 5).uint(), { name: "Truncated", values: { at: 5 + cut } });
    }
  }
  for (const text of ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff"]) {
    assert.throws(() => reader(text, 9).uint(), { name: "NotShortest", values: { at: 9 } });
  }
});

test("reserved and indefinite heads are refused", () => {
  for (const found of [0x1c, 0x1d, 0x1e, 0x1f, 0x3f, 0x5c, 0xdf]) {
    assert.throws(() => reader(found.toString(16)).uint(), { name: "ReservedHead", values: { at: 0, found } });
  }
  assert.throws(() => reader("5f").bytes("x", 9), { name: "IndefiniteLength" });
  assert.throws(() => reader("9f").array(), { name: "IndefiniteLength" });
  for (const simple of ["f4", "f800", "f97c00", "fb", "fc", "ff"]) {
    assert.throws(() => reader(simple).uint(), {
      name: "UnexpectedType",
      values: { at: 0, expected: "an unsigned integer", found: "a simple value" },
    });
  }
});

test("lengths are checked before anything is taken", () => {
  const values = { field: "nonce", found: (1n << 64n) - 1n, limit: 1024 };
  assert.throws(() => reader("5bffffffffffffffff").bytes("nonce", 1024), { name: "FieldTooLong", values });
  assert.throws(() => reader("4201").bytes("nonce", 1024), { name: "Truncated", values: { at: 2 } });
  assert.throws(() => reader("b821").map("pcrs", 32n), {
    name: "TooManyEntries",
    values: { field: "pcrs", limit: 32n },
  });
});

test("text is UTF-8, and a byte order mark is text", () => {
  assert.equal(reader("63efbbbf").text("x", 9), "\ufeff");
  for (const text of ["62c328", "62c0af", "63eda080", "64f4908080", "61ff"]) {
    assert.throws(() => reader(text).text("x", 9), { name: "NotUtf8", values: { at: 0, field: "x" } });
  }
});
