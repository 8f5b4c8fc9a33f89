/** Keys and encapsulations that no honest side makes, as in Rust's `core/steve/src/hpke.rs`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ml_kem768_x25519 } from "@noble/post-quantum/hybrid.js";
import { concat, copyOf, toHex } from "../../src/bytes.js";
import { xwing } from "../../src/steve/whole.js";
import { testEach } from "./vector.js";

const random = new Uint8Array(64).map((_, at) => at * 7);
const seed = () => new Uint8Array(32).fill(7);

testEach("keys that no honest side makes are refused", async (kem) => {
  const { publicKeyLength, encapsulatedLength } = kem.suite;
  const key = await kem.privateKey(seed());
  assert.equal(key.publicKey.length, publicKeyLength);
  const { shared, encapsulated } = await kem.encapsulate(key.publicKey, random);
  assert.equal(encapsulated.length, encapsulatedLength);
  assert.deepEqual(await key.decapsulate(encapsulated), shared);

  const noKey = (what: string) => ({ name: "Key", values: { what }, message: `the ${what} is none of this suite` });
  const one = Uint8Array.of(0);
  for (const wrong of [encapsulated.slice(1), concat(encapsulated, one), new Uint8Array()]) {
    await assert.rejects(key.decapsulate(wrong), noKey("encapsulated key"));
  }
  for (const wrong of [key.publicKey.slice(1), concat(key.publicKey, one), new Uint8Array()]) {
    await assert.rejects(kem.encapsulate(wrong, random), noKey("public key"));
  }
  // Points whose shared secret is zero whoever holds the key: zero, one, and the prime in other clothes.
  const prime = Uint8Array.of(0xed, ...new Uint8Array(30).fill(0xff), 0x7f);
  for (const point of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31)), prime]) {
    const low = (whole: Uint8Array) => concat(whole.subarray(0, whole.length - 32), point);
    await assert.rejects(key.decapsulate(low(encapsulated)), noKey("encapsulated key"));
    await assert.rejects(kem.encapsulate(low(key.publicKey), random), noKey("public key"));
  }
});

test("a coefficient outside ML-KEM's field is refused", async () => {
  const { publicKey } = await xwing.privateKey(seed());
  await assert.rejects(xwing.encapsulate(publicKey.fill(0xff, 0, 3), random), { name: "Key" });
});

test("ML-KEM rejects implicitly", async () => {
  const key = await xwing.privateKey(seed());
  const { shared, encapsulated } = await xwing.encapsulate(key.publicKey, random);
  const wrong = encapsulated.slice();
  wrong[0] = (wrong[0] ?? 0) ^ 1;
  assert.notDeepEqual(await key.decapsulate(wrong), shared);
});

test("another X-Wing agrees", async () => {
  const theirs = ml_kem768_x25519.keygen(seed());
  const ours = await xwing.privateKey(seed());
  assert.equal(toHex(ours.publicKey), toHex(theirs.publicKey));
  const { shared, encapsulated } = await xwing.encapsulate(ours.publicKey, random);
  const expected = ml_kem768_x25519.encapsulate(theirs.publicKey, random);
  assert.equal(toHex(encapsulated), toHex(expected.cipherText));
  assert.equal(toHex(shared), toHex(expected.sharedSecret));
  assert.equal(toHex(await ours.decapsulate(copyOf(expected.cipherText))), toHex(expected.sharedSecret));
});

test("what is forgotten is gone", async () => {
  const key = await xwing.privateKey(seed());
  const { encapsulated, shared } = await xwing.encapsulate(key.publicKey, random);
  key.forget();
  const found = await key.decapsulate(encapsulated).catch(() => undefined);
  assert.notDeepEqual(found, shared);
});
