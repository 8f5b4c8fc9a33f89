/** Handshakes, exchanges and what a hostile host makes of them, as in Rust's `core/steve/tests/sessions.rs`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, concat, toHex } from "../../src/bytes.js";
import {
  ClientHandshake,
  contextHash,
  HandshakeError,
  type OpenedRecord,
  type Opener,
  PlatformError,
  RecordError,
  x25519,
} from "../../src/steve/whole.js";
import { answer, Enclave, enclave, greet, INSTANCE, LIMITS, session } from "./enclave.js";
import { KEMS, testEach } from "./vector.js";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (said: string): Bytes => new TextEncoder().encode(said) as Bytes;

/** All records of a stream that arrives in pieces of `size` bytes. */
async function openAll(opener: Opener, stream: Bytes, size = 64): Promise<readonly OpenedRecord[]> {
  const records: OpenedRecord[] = [];
  for (let at = 0; at < stream.length; at += size) {
    opener.feed(stream.subarray(at, at + size));
    for (let record = await opener.next(); record; record = await opener.next()) records.push(record);
  }
  for (let record = await opener.end(); record; record = await opener.end()) records.push(record);
  return records;
}

function flipped(whole: Bytes, at: number): Bytes {
  const other = whole.slice();
  other[at] = (other[at] ?? 0) ^ (1 << (at % 8));
  return other;
}

testEach("both sides have the same session, and what one seals the other opens", async (kem) => {
  const { client, server } = await session(kem);
  assert.equal(toHex(client.transcriptHash), toHex(server.schedule.th));
  const [one, other] = [await client.exporter(bytes("l"), bytes("c")), await client.exporter(bytes("lc"), bytes(""))];
  assert.notEqual(toHex(one), toHex(other));
  // Longer than the `info` that Node's HKDF takes.
  assert.equal((await client.exporter(bytes("l"), new Uint8Array(5000))).length, 32);

  const ours = await client.exchange();
  const theirs = await server.exchange(ours.header);
  ours.sealer.padTo(512);
  const question = ours.sealer.seal("data", bytes("question"));
  ours.sealer.padTo(1);
  // Nobody has to wait between records.
  const stream = concat(
    ...(await Promise.all([question, ours.sealer.seal("pad", bytes("")), ours.sealer.seal("data", bytes(""), true)])),
  );
  const opened = await openAll(theirs.opener, stream, 1);
  assert.deepEqual(
    opened.map(({ kind, content, last }) => [kind, text(content), last]),
    [
      ["data", "question", false],
      ["pad", "", false],
      ["data", "", true],
    ],
  );
  const back = await openAll(ours.opener, await theirs.sealer.seal("data", bytes("answer"), true), 7);
  assert.deepEqual(back, [{ kind: "data", content: bytes("answer"), last: true }]);
});

testEach("every bit and every cut of the answer counts", async (kem) => {
  const { name } = kem.suite;
  const step = name === "xwing" ? 37 : 1;
  const server = await enclave(kem);
  const attested = await server.attested();
  const { answer: whole } = await answer(server, (await greet(kem, attested)).hello);
  for (let at = 0; at < whole.length; at += step) {
    for (const wrong of [flipped(whole, at), whole.slice(0, at)]) {
      const client = await greet(kem, attested);
      await assert.rejects(client.finish(wrong), HandshakeError, `byte ${at} of ${wrong.length}`);
    }
  }
  await assert.rejects((await greet(kem, attested)).finish(concat(whole, Uint8Array.of(0))), HandshakeError);
  assert.equal((await (await greet(kem, attested)).finish(whole)).suite, name);
});

testEach("a server without the attested key cannot confirm", async (kem) => {
  const server = await enclave(kem);
  const attested = await server.attested();
  const client = await greet(kem, attested);
  const liar = await Enclave.of(kem, 3, INSTANCE, new Uint8Array(32).fill(0x23));
  await assert.rejects(answer(liar, client.hello), /none for this enclave/);
  // It answers this very hello, with every right value but the one that needs the key: half of the master secret.
  const lying = await answer(server, client.hello);
  const forged = flipped(lying.answer, lying.answer.length - 1);
  await assert.rejects(client.finish(forged), { name: "Confirmation" });
  // An answer of another handshake with the right key is none for this one.
  const other = await answer(server, (await greet(kem, attested, 5)).hello);
  await assert.rejects((await greet(kem, attested)).finish(other.answer), { name: "NotAuthentic" });
});

test("answers are refused by name, and once", async () => {
  const server = await enclave(x25519);
  const attested = await server.attested();
  const refused = async (wrong: Bytes, expected: object) => {
    await assert.rejects((await greet(x25519, attested)).finish(wrong), expected);
  };
  const { answer: whole } = await answer(server, (await greet(x25519, attested)).hello);
  const malformed = { name: "Malformed", values: { what: "server hello" }, message: "the server hello is malformed" };
  await refused(new Uint8Array(), malformed);
  await refused(new Uint8Array(8193).fill(1), malformed);
  await refused(concat(Uint8Array.of(2), whole.slice(1)), malformed);
  await refused(whole.slice(0, 1 + 16 + 32 + 15 + 32), malformed);
  await refused(flipped(whole, 60), { name: "NotAuthentic", values: { what: "server hello" } });

  const once = await greet(x25519, attested);
  await once.finish(whole);
  await assert.rejects(once.finish(whole), TypeError);
});

test("another instance with the same key is refused", async () => {
  const server = await enclave(x25519, new Uint8Array(16).fill(0x99));
  const claimed = { ...(await server.attested()), instance: INSTANCE };
  const client = await greet(x25519, claimed);
  await assert.rejects(client.finish((await answer(server, client.hello)).answer), { name: "Instance" });
});

test("limits outside their range are refused on both sides", async () => {
  const server = await enclave(x25519);
  const attested = await server.attested();
  const context = await contextHash("app.example");
  for (const maxChunk of [0, 16_383, 65_537, 2 ** 32 - 1, 20_000.5, Number.NaN]) {
    await assert.rejects(ClientHandshake.start(x25519, attested, context, { maxChunk }), {
      name: "Limit",
      message: `max_chunk is ${maxChunk}, outside 16384 to 65536`,
    });
  }
  for (const [limits, what] of [
    [{ ...LIMITS, maxChunk: 100 }, "max_chunk"],
    [{ ...LIMITS, concurrency: 0 }, "concurrency"],
    [{ ...LIMITS, concurrency: 65_537 }, "concurrency"],
    [{ ...LIMITS, window: 1 }, "window"],
  ] as const) {
    const client = await greet(x25519, attested);
    const { answer: said } = await answer(server, client.hello, limits);
    await assert.rejects(
      client.finish(said),
      (error: HandshakeError) => error.is("Limit") && error.values.what === what,
    );
  }
  // The client's own limit holds where it is the lower one.
  const client = await ClientHandshake.start(x25519, attested, context, { maxChunk: 16_384 });
  const ours = await client.finish((await answer(server, client.hello)).answer);
  assert.equal(ours.limits.maxChunk, 16_384);
});

test("a key of another suite than the pinned one is the caller's mistake", async () => {
  const [x, xwing] = KEMS;
  assert.ok(x !== undefined && xwing !== undefined);
  const attested = await (await enclave(x)).attested();
  await assert.rejects(greet(xwing, attested), TypeError);
});

test("each handshake has randomness of its own where none is given", async () => {
  const attested = await (await enclave(x25519)).attested();
  const hellos = [1, 2].map(async () => (await ClientHandshake.start(x25519, attested, new Uint8Array(32))).hello);
  const [one, other] = await Promise.all(hellos);
  assert.notDeepEqual(one, other);
});

test("a platform without X25519 is refused by name", async (t) => {
  const attested = await (await enclave(x25519)).attested();
  t.mock.method(crypto.subtle, "importKey", () => {
    throw new DOMException("Unrecognized algorithm name", "NotSupportedError");
  });
  for (const kem of KEMS) {
    const other = { ...attested, config: { ...attested.config, suite: kem.suite.name } };
    const publicKey = new Uint8Array(kem.suite.publicKeyLength);
    const start = greet(kem, { ...other, config: { ...other.config, publicKey } });
    await assert.rejects(start, (error: PlatformError) => error instanceof PlatformError && error.missing === "X25519");
  }
});

test("a stream cut anywhere is an error and never a short success", async () => {
  const { server } = await session(x25519);
  const { client } = await session(x25519);
  const { header } = await client.exchange();
  const theirs = await server.exchange(header);
  const first = await theirs.sealer.seal("data", bytes("some words"));
  const stream = concat(first, await theirs.sealer.seal("data", bytes("and the last"), true));
  // Both sides are the same each time, as their randomness is, so a fresh opener opens the same stream.
  const fresh = async () => (await (await session(x25519)).client.exchange()).opener;
  for (let cut = 0; cut < stream.length; cut++) {
    const error = await openAll(await fresh(), stream.slice(0, cut), 5).then(
      () => assert.fail(`cut at ${cut}`),
      (refusal: Error) => refusal.name,
    );
    assert.match(error, /^(Truncated|NotAuthentic)$/, `cut at ${cut}`);
  }
  assert.equal((await openAll(await fresh(), stream, 5)).length, 2);
});

test("every bit of a stream counts", async () => {
  const { client, server } = await session(x25519);
  const { header } = await client.exchange();
  const theirs = await server.exchange(header);
  const stream = concat(
    await theirs.sealer.seal("data", bytes("some")),
    await theirs.sealer.seal("data", bytes("more"), true),
  );
  for (let at = 0; at < stream.length; at++) {
    const { opener } = await (await session(x25519)).client.exchange();
    await assert.rejects(openAll(opener, flipped(stream, at)), RecordError, `byte ${at}`);
  }
});

test("requests and responses of other exchanges and directions do not open", async () => {
  const { client, server } = await session(x25519);
  const [first, second] = [await client.exchange(), await client.exchange()];
  assert.notDeepEqual(first.header, second.header);
  const request = await first.sealer.seal("data", bytes("one"), true);
  // Spliced: the first's bytes under the second's number.
  const spliced = await server.exchange(second.header);
  await assert.rejects(openAll(spliced.opener, request), { name: "NotAuthentic" });
  // Reflected: a request as its own response.
  await assert.rejects(openAll(first.opener, request), { name: "NotAuthentic" });
  // Swapped.
  const theirs = await server.exchange(first.header);
  const said = await theirs.sealer.seal("data", bytes("for one"), true);
  await assert.rejects(openAll(second.opener, said), { name: "NotAuthentic" });
});

test("chunks out of order or twice do not open, and the stream is broken for good", async () => {
  const { client, server } = await session(x25519);
  const { header } = await client.exchange();
  const { sealer } = await server.exchange(header);
  const [one, two] = [await sealer.seal("data", bytes("one")), await sealer.seal("data", bytes("two"))];
  for (const [stream, before] of [
    [concat(two, one), 0],
    [concat(one, one), 1],
  ] as const) {
    const { opener } = await (await session(x25519)).client.exchange();
    opener.feed(stream);
    for (let good = 0; good < before; good++) assert.equal((await opener.next())?.kind, "data");
    // Asked twice at once: what follows a chunk that is refused is not opened either.
    const asked = await Promise.allSettled([opener.next(), opener.next()]);
    assert.deepEqual(
      asked.map((one) => (one.status === "rejected" ? one.reason.name : one.value)),
      ["NotAuthentic", undefined],
    );
    assert.throws(() => opener.feed(two), { name: "AfterEnd" });
    assert.equal(await opener.end(), undefined);
  }
});
