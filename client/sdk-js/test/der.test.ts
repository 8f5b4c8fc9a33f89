/** DER is read one way only. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Der, DerError } from "../src/der.js";
import { hex } from "./files.js";

/** What `read` makes of these bytes and nothing after them, or `undefined`. */
function read<T>(text: string, visit: (der: Der) => T): T | undefined {
  try {
    const der = new Der(hex(text));
    const result = visit(der);
    der.finish();
    return result;
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

function ascii(tag: string, text: string): string {
  return `${tag}${text.length.toString(16).padStart(2, "0")}${Buffer.from(text).toString("hex")}`;
}

test("times are those of a calendar, in UTC and with seconds", () => {
  const utc = (text: string) => read(ascii("17", text), (der) => der.time());
  const generalized = (text: string) => read(ascii("18", text), (der) => der.time());
  assert.equal(utc("260115120000Z"), 1_768_478_400_000);
  assert.equal(utc("700101000000Z"), 0);
  assert.equal(utc("491231235959Z"), 2_524_607_999_000);
  assert.equal(utc("240229000000Z"), 1_709_164_800_000);
  assert.equal(generalized("20500101000000Z"), 2_524_608_000_000);
  assert.equal(generalized("99991231235959Z"), 253_402_300_799_000);
  for (const text of [
    "691231235959Z",
    "500101000000Z",
    "250229000000Z",
    "260431000000Z",
    "261301000000Z",
    "260001000000Z",
    "260100000000Z",
    "260115240000Z",
    "260115126000Z",
    "260115120060Z",
    "2601151200Z",
    "260115120000+",
    "26011512000 Z",
    "260115120000ZZ",
  ]) {
    assert.equal(utc(text), undefined, text);
  }
  for (const text of ["19691231235959Z", "21000229000000Z", "20260115120000.1Z", "20260115120000", "00500101000000Z"]) {
    assert.equal(generalized(text), undefined, text);
  }
});

test("numbers, lengths and identifiers have one form", () => {
  const unsigned = (text: string) => read(text, (der) => Buffer.from(der.unsigned()).toString("hex"));
  for (const [text, value] of [
    ["020100", "00"],
    ["02017f", "7f"],
    ["02020080", "80"],
  ]) {
    assert.equal(unsigned(text ?? ""), value);
  }
  for (const text of [
    "0200",
    "020180",
    "0202007f",
    "02020000",
    "02810101",
    "028201",
    "0280",
    "020101ff",
    "030101",
    "",
  ]) {
    assert.equal(unsigned(text), undefined, text);
  }

  const identifier = (text: string) => read(text, (der) => der.objectIdentifier());
  assert.equal(identifier("0603551d13"), "2.5.29.19");
  assert.equal(identifier("06062a8648ce3d04"), "1.2.840.10045.4");
  assert.equal(identifier("06062a8fffffff7f"), "1.2.4294967295");
  for (const text of [
    "0600",
    "060378",
    "0603558001",
    "06022a80",
    "06062a9080808000",
    "0601ff",
    `0628${"2a".repeat(40)}`,
  ]) {
    assert.equal(identifier(text), undefined, text);
  }

  const octets = (text: string) => read(text, (der) => der.octets().length);
  const bits = (text: string) => read(text, (der) => der.bitString().unused);
  assert.deepEqual([octets("0303000102"), octets("030100")], [2, 0]);
  assert.deepEqual([octets("03020780"), octets("0300"), octets("2303030100")], [undefined, undefined, undefined]);
  assert.deepEqual(
    [bits("03020780"), bits("03020781"), bits("03020880"), bits("030101")],
    [7, undefined, undefined, undefined],
  );

  const truth = (text: string) => read(text, (der) => der.trueOrAbsent());
  assert.deepEqual(["", "0101ff", "010100", "010101", "0100", "0102ffff"].map(truth), [
    false,
    true,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test("tags are those of X.509, numbers of long ones in their shortest form", () => {
  const element = (text: string) => read(text, (der) => der.element().length);
  for (const text of ["0500", "3000", "8000", "a000", "bf1f00", "bf8f7f00", "df8fffffff7f00"]) {
    assert.equal(element(text), text.length / 2, text);
  }
  for (const text of [
    "0000",
    "0700",
    "1000",
    "1c00",
    "2400",
    "bf1e00",
    "bf801f00",
    "df90808080000000",
    "df8fffffffff7f00",
    "30",
    "3081",
  ]) {
    assert.equal(element(text), undefined, text);
  }
});
