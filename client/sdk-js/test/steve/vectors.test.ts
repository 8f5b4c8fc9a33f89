/** The sessions of `specs/vectors/steve`, played again, and `specs/steve.md` against the code. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { toHex } from "../../src/bytes.js";
import * as steve from "../../src/steve/whole.js";
import { hex, inCheckout } from "../files.js";
import { Enclave } from "./enclave.js";
import { compareOpened, play, sealed } from "./play.js";
import { KEMS, steveVector, testEach } from "./vector.js";

testEach("a client says what the vector says", async (kem) => {
  const vector = steveVector(kem);
  assert.deepEqual(await play(steve, vector), []);
});

testEach("a server says what the vector says", async (kem) => {
  const vector = steveVector(kem);
  const { server } = vector;
  const enclave = await Enclave.of(kem, server.key_id, hex(server.instance), hex(server.seed));
  assert.equal(toHex(enclave.keyConfigs), vector.key_configs);
  const { max_chunk: maxChunk, concurrency, window, lifetime_s: lifetimeS } = server;
  const random = {
    encapsulate: hex(server.encapsulate),
    session: hex(server.session),
    hello: hex(server.random),
  };
  const grant = { limits: { maxChunk, concurrency, window }, lifetimeS };
  const { session, answer } = await enclave.accept(hex(vector.hello), grant, random);
  assert.equal(toHex(answer), vector.server_hello);
  assert.equal(toHex(session.schedule.th), vector.transcript_hash);
  for (const { header, request, response } of vector.exchanges) {
    const { opener, sealer } = await session.exchange(hex(header));
    await compareOpened(steve, opener, request, (_, found, expected) => assert.equal(found, expected));
    assert.equal(await sealed(steve, sealer, response), response.stream);
  }
});

testEach("epoch claims are the vector's and have one form", (kem) => {
  const vector = steveVector(kem);
  const claims: steve.EpochClaims = {
    keyConfigsHash: hex(vector.key_configs_hash),
    instance: hex(vector.server.instance),
    notBeforeMs: BigInt(vector.claims.not_before_ms),
    notAfterMs: BigInt(vector.claims.not_after_ms),
    manifestHash: hex(vector.claims.manifest_hash),
    tlsKeyHash: null,
    plaintextFallback: false,
    publicAssets: true,
  };
  assert.equal(vector.claims.flags, 2);
  const whole = steve.encodeEpochClaims(claims);
  assert.equal(toHex(whole), vector.epoch_claims);
  assert.deepEqual(steve.decodeEpochClaims(whole), claims);
  const last = (1n << 64n) - 1n;
  const longest = { ...claims, tlsKeyHash: new Uint8Array(32).fill(7), notBeforeMs: last, notAfterMs: last };
  assert.ok(steve.encodeEpochClaims(longest).length <= 196);
  assert.deepEqual(steve.decodeEpochClaims(steve.encodeEpochClaims(longest)), longest);

  for (let cut = 0; cut < whole.length; cut++) assert.equal(steve.decodeEpochClaims(whole.slice(0, cut)), undefined);
  // Bytes after them; a flag nobody knows; a head longer than it must be; an endless map; another label.
  const text = vector.epoch_claims;
  for (const wrong of [
    `${text}00`,
    `${text.slice(0, -2)}04`,
    `b807${text.slice(2)}`,
    `bf${text.slice(2)}ff`,
    text.replace("73746576", "53746576"),
    `${text}${"00".repeat(200)}`,
  ]) {
    assert.equal(steve.decodeEpochClaims(hex(wrong)), undefined, wrong);
  }
});

test("lists of key configurations have one form", () => {
  const [first, second] = KEMS.map((kem) => steve.decodeKeyConfigs(hex(steveVector(kem).key_configs))[0]);
  assert.ok(first !== undefined && second !== undefined);
  const decode = (configs: readonly steve.KeyConfig[]) => steve.decodeKeyConfigs(steve.encodeKeyConfigs(configs));
  assert.throws(() => decode([first, second]), { name: "DuplicateId", values: { keyId: 7 } });
  const both = [first, { ...second, keyId: 8 }];
  assert.deepEqual(decode(both), both);

  const list = steve.encodeKeyConfigs([first]);
  assert.equal(list.length, 43);
  assert.throws(() => steve.decodeKeyConfigs(new Uint8Array()), { name: "Count", values: { found: 0 } });
  for (let cut = 1; cut < list.length; cut++) {
    assert.throws(() => steve.decodeKeyConfigs(list.slice(0, cut)), { name: "Malformed", values: { at: 0 } });
  }
  assert.throws(() => steve.decodeKeyConfigs(Uint8Array.of(...list, 0)), { name: "Malformed", values: { at: 43 } });
  for (const at of [3, 4, 39, 40, 41, 42]) {
    const other = list.slice();
    other[at] = (other[at] ?? 0) ^ 0x40;
    assert.throws(() => steve.decodeKeyConfigs(other), { name: "UnknownSuite", values: { index: 0 } }, `byte ${at}`);
  }
  const five = [0, 1, 2, 3, 4].map((keyId) => ({ ...first, keyId }));
  assert.throws(() => decode(five), { name: "Count", values: { found: 5 } });
  const length = steve.MAX_KEY_CONFIGS + 1;
  assert.throws(() => steve.decodeKeyConfigs(new Uint8Array(length)), { name: "TooLong", values: { length } });
});

test("every refusal that a client meets is specified, in this order", () => {
  const text = readFileSync(inCheckout("specs/steve.md"), "utf8");
  const specified: Record<string, string[]> = {};
  for (const [, kind = "", name = "", who = ""] of text.matchAll(/^\| (\w+Error) \| `(\w+)` \| (\w+) \|/gm)) {
    specified[kind] ??= [];
    if (who !== "server") specified[kind].push(name);
  }
  // Exchanges are refused by servers alone.
  assert.deepEqual(specified["ExchangeError"], []);
  delete specified["ExchangeError"];
  assert.deepEqual(specified, steve.REFUSALS);
});
