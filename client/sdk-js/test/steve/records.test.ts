/** The framing of records, as in Rust's `core/steve/src/record/tests.rs`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, concat } from "../../src/bytes.js";
import { Block, RATCHET_INTERVAL } from "../../src/steve/block.js";
import { ascii, hkdfKey } from "../../src/steve/kdf.js";
import { Opener } from "../../src/steve/opener.js";
import { KINDS, kindOf } from "../../src/steve/record.js";
import { Sealer } from "../../src/steve/sealer.js";
import { readVarint, varint } from "../../src/steve/varint.js";
import {
  decodeSealedError,
  encodeSealedError,
  type Kind,
  type OpenedRecord,
  SEALED_CODES,
} from "../../src/steve/whole.js";
import { hex } from "../files.js";
import { pieces, random } from "./random.js";

const MAX_CHUNK = 16_384;
const TAG = 16;

async function block(interval = RATCHET_INTERVAL): Promise<Block> {
  const secret = await hkdfKey(new Uint8Array(32).fill(2));
  return Block.of(new Uint8Array(32).fill(1), secret, ascii("test"), interval);
}

/** A chunk with these bytes inside, sealed as the first of the stream. */
async function chunk(inner: readonly number[], last = false): Promise<Bytes> {
  return (await block()).seal(Uint8Array.from(inner), last);
}

function framed(sealed: Bytes): Bytes {
  return concat(varint(sealed.length), sealed);
}

async function open(all: readonly Uint8Array[], end = true): Promise<readonly OpenedRecord[]> {
  const opener = new Opener(await block(), MAX_CHUNK);
  const records: OpenedRecord[] = [];
  for (const piece of all) {
    opener.feed(piece);
    for (let record = await opener.next(); record; record = await opener.next()) records.push(record);
  }
  for (let record = end && (await opener.end()); record; record = await opener.end()) records.push(record);
  return records;
}

test("contents of every length pass with every padding", async () => {
  for (const length of [0, 1, 46, 47, 48, 255, 256, 16_000, MAX_CHUNK - 1, MAX_CHUNK]) {
    for (const bucket of [0, 1, 256, 512, 100_000]) {
      const content = new Uint8Array(length);
      const sealer = new Sealer(await block(), MAX_CHUNK);
      sealer.padTo(bucket);
      const stream = [await sealer.seal("data", content), await sealer.seal("wsTextMore", content, true)];
      assert.deepEqual(await open(stream), [
        { kind: "data", content, last: false },
        { kind: "wsTextMore", content, last: true },
      ]);
    }
  }
});

test("any records pass in any pieces", async () => {
  const next = random(7);
  const kinds = Object.keys(KINDS) as Kind[];
  for (let round = 0; round < 40; round++) {
    const sealer = new Sealer(await block(), MAX_CHUNK);
    const count = 1 + next(8);
    const expected: OpenedRecord[] = [];
    const stream: Bytes[] = [];
    for (let at = 1; at <= count; at++) {
      const content = Uint8Array.from({ length: next(4) === 0 ? next(MAX_CHUNK) : next(80) }, () => next(256));
      const kind = kinds[next(kinds.length)] ?? "data";
      sealer.padTo(next(300));
      stream.push(await sealer.seal(kind, content, at === count));
      expected.push({ kind, content, last: at === count });
    }
    assert.deepEqual(await open(pieces(concat(...stream), next)), expected);
  }
});

test("padding hides lengths up to the bucket", async () => {
  const length = async (content: number) => {
    const sealer = new Sealer(await block(), MAX_CHUNK);
    sealer.padTo(256);
    return (await sealer.seal("data", new Uint8Array(content).fill(7))).length;
  };
  assert.equal(await length(1), await length(255));
  assert.equal((await length(255)) + 256, await length(256));
});

test("what no peer takes is not sealed", async () => {
  const sealer = new Sealer(await block(), MAX_CHUNK);
  await assert.rejects(sealer.seal("data", new Uint8Array(MAX_CHUNK + 1)), TypeError);
  for (const bucket of [-1, 0.5, Number.NaN]) assert.throws(() => sealer.padTo(bucket), TypeError);
  await sealer.seal("data", new Uint8Array(), true);
  await assert.rejects(sealer.seal("data", new Uint8Array()), TypeError);
});

test("lengths have one form", async () => {
  const good = await chunk([0x78, 1]);
  assert.equal(good.length, 2 + TAG);
  assert.equal((await open([Uint8Array.of(good.length), good], false)).length, 1);
  for (const long of ["4012", "80000012", "c000000000000012", "4000", "80003fff"]) {
    await assert.rejects(open([hex(long), good], false), { name: "Length" }, long);
  }
  const refuse = () => new Error("refused");
  for (const value of [0, 63, 64, 16_383, 16_384, 2 ** 30 - 1]) {
    const bytes = varint(value);
    assert.deepEqual(readVarint(bytes, refuse), { value, used: bytes.length });
    for (let cut = 0; cut < bytes.length; cut++) assert.equal(readVarint(bytes.subarray(0, cut), refuse), undefined);
  }
  assert.throws(() => varint(2 ** 30), RangeError);
});

test("no chunk is longer than agreed", async () => {
  const most = MAX_CHUNK + 1 + TAG;
  const refusal = { name: "TooLong", values: { length: most + 1, most } };
  // Its length alone is enough.
  await assert.rejects(open([varint(most + 1)], false), refusal);
  await assert.rejects(open([Uint8Array.of(0), new Uint8Array(most + 1)], false), refusal);
});

test("content needs a type that is known", async () => {
  const typed = async (found: number, ...inner: number[]) => {
    await assert.rejects(open([framed(await chunk(inner))], false), { name: "Type", values: { found } });
  };
  await typed(0, 0, 0, 0);
  await typed(0);
  for (const unknown of [0x05, 0x0f, 0x16, 0x7f, 0x81, 0x92, 0xff]) await typed(unknown, 0x78, unknown, 0, 0);
  for (const [kind, byte] of Object.entries(KINDS)) assert.equal(kindOf(byte), kind);
});

test("the last chunk is no other and no other is the last", async () => {
  const [middle, last] = [await chunk([0x78, 1]), await chunk([0x78, 1], true)];
  const zero = Uint8Array.of(0);
  assert.equal((await open([zero, last])).length, 1);
  await assert.rejects(open([zero, middle]), { name: "NotAuthentic" });
  await assert.rejects(open([framed(last)], false), { name: "NotAuthentic" });
  // Shorter than a tag.
  await assert.rejects(open([hex("000102")]), { name: "NotAuthentic" });
  await assert.rejects(open([zero]), { name: "NotAuthentic" });
  await assert.rejects(open([]), { name: "Truncated" });
});

test("keys change where both sides count the same", async () => {
  assert.equal(RATCHET_INTERVAL, 2 ** 20);
  const sealer = new Sealer(await block(3), MAX_CHUNK);
  const streams: Bytes[] = [];
  for (let at = 0; at < 10; at++) streams.push(await sealer.seal("data", Uint8Array.of(at), at === 9));
  const read = async (interval: number) => {
    const opener = new Opener(await block(interval), MAX_CHUNK);
    const contents: (number | undefined)[] = [];
    for (const stream of streams) {
      opener.feed(stream);
      for (let record = await opener.next(); record; record = await opener.next()) contents.push(record.content[0]);
    }
    contents.push((await opener.end())?.content[0]);
    return contents;
  };
  assert.deepEqual(await read(3), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await assert.rejects(read(4), { name: "NotAuthentic" });
  await assert.rejects(read(2), { name: "NotAuthentic" });
});

test("sealed errors have one form", () => {
  for (const code of SEALED_CODES) {
    for (const retryAfterS of [null, 7, 2 ** 32 - 1]) {
      const error = { code, executed: false, retryAfterS };
      const bytes = encodeSealedError(error);
      assert.deepEqual(decodeSealedError(bytes), error);
      assert.throws(() => decodeSealedError(concat(bytes, Uint8Array.of(0))), { name: "MalformedError" });
    }
  }
  // Keys the wrong way round, a code nobody knows, a longer head, a number where a truth belongs, seconds of 33 bits.
  for (const wrong of [
    "a202f4016462757379",
    "a201646e6f706502f4",
    "a20178046275737902f4",
    "a1016462757379",
    "a20164627573790200",
    "a301646275737902f4031b0000000100000000",
    "a2015bffffffffffffffff",
    "",
  ]) {
    assert.throws(() => decodeSealedError(hex(wrong)), { name: "MalformedError" }, wrong);
  }
});
