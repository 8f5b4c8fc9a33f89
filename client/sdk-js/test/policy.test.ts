/** A slip in JavaScript asks no less than was meant. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Archived, type Live, Roots, verify, verifyArchived } from "../src/index.js";
import { archivedOf, base64, hex, vector } from "./files.js";

const honest = vector("ok-archived-nonce");
const document = base64(honest.document);
const archived = archivedOf(honest);
const nonce = hex(honest.nonce ?? assert.fail());
const live: Live = { roots: archived.roots ?? assert.fail(), now: honest.at ?? assert.fail(), nonce, maxAgeMs: 0 };

function refusesTheQuestion(verdict: Promise<unknown>, said: RegExp): Promise<void> {
  return assert.rejects(verdict, (error: unknown) => error instanceof TypeError && said.test(error.message));
}

test("a question that is none is refused before anything is read", async () => {
  await verify(document, live);
  await verifyArchived(document, archived);
  const slips: readonly (readonly [object, RegExp])[] = [
    [{ nonce: undefined }, /`nonce` has no value/],
    [{ nonce: null }, /`nonce` has no value/],
    [{ nonce: "6e6e" }, /`nonce` is no Uint8Array/],
    [{ maxAge: 1 }, /`maxAge` is no key of this question/],
    [{ allowDebug: "no" }, /`allowDebug` is no boolean/],
    [{ roots: [] }, /`roots` is no `Roots`/],
    [{ profiles: { pcr0: "a0".repeat(48) } }, /`profiles` is no list/],
    [{ profiles: [{ pcr0: "a0".repeat(48) }] }, /PCR1 is not 96 hex digits/],
    [{ registers: { 32: "a0".repeat(48) } }, /`32` is not a PCR number/],
    [{ registers: { "08": "a0".repeat(48) } }, /`08` is not a PCR number/],
    [{ registers: { 8: "a0" } }, /PCR8 is not 96 hex digits/],
    [{ registers: new Map([[8, "a0".repeat(48)]]) }, /`registers` is no object/],
    [{ registers: 8 }, /`registers` is no object/],
  ];
  for (const [slip, said] of slips) {
    await refusesTheQuestion(verify(new Uint8Array(), { ...live, ...slip } as Live), said);
    await refusesTheQuestion(verifyArchived(new Uint8Array(), { ...archived, ...slip } as Archived), said);
  }
  for (const time of [Number.NaN, "now", -1, 0.5, new Date()]) {
    await refusesTheQuestion(verify(document, { ...live, now: time } as Live), /`now` is .*; it takes/);
    await refusesTheQuestion(verifyArchived(document, { ...archived, at: time } as Archived), /`at` is .*; it takes/);
  }
  for (const left of ["now", "nonce", "maxAgeMs"]) {
    const less = Object.fromEntries(Object.entries(live).filter(([key]) => key !== left));
    await refusesTheQuestion(verify(document, less as unknown as Live), new RegExp(`\`${left}\` is`));
  }
});

test("registers are compared whatever the case of their digits", async () => {
  const image = { pcr0: "A0".repeat(48), pcr1: "a1".repeat(48), pcr2: "A2".repeat(48) };
  await verify(document, { ...live, profiles: [image] });
  const registers = { 8: "A0".repeat(48) };
  await assert.rejects(verify(document, { ...live, registers }), { name: "PcrMismatch", blame: "mismatch" });
  const signed = { ...image, pcr8: "a8".repeat(48) };
  await assert.rejects(verify(document, { ...live, profiles: [signed] }), { name: "PcrMismatch" });
  await verify(document, { ...live, profiles: [signed, image] });
  // Where it is one of the images, nothing says that it is none of them.
  const message = `PCR8 is ${"00".repeat(48)}, expected ${"a0".repeat(48)}`;
  await assert.rejects(verify(document, { ...live, profiles: [signed, image], registers }), { message });
});

test("a nonce that changes while it is asked for is not looked at again", async () => {
  const mine = nonce.slice();
  const verdict = verify(document, { ...live, nonce: mine });
  mine.fill(0);
  assert.deepEqual((await verdict).checked, { call: "live", at: live.now });
});

test("roots are certificates, and AWS's is what it is whatever it is called", async () => {
  assert.throws(() => Roots.fromDer([]), { name: "RootError" });
  assert.throws(() => Roots.devRoot(new Uint8Array()), { name: "RootError", message: /root number 1/ });
  const root = base64(honest.root);
  for (const [roots, kind] of [
    [Roots.devRoot(root), "dev"],
    [Roots.fromDer([root]), "other"],
    [Roots.aws().and(Roots.devRoot(root)), "dev"],
  ] as const) {
    assert.equal((await verify(document, { ...live, roots })).root, kind);
  }
  await assert.rejects(verify(document, { ...live, roots: Roots.aws() }), { name: "UnknownRoot" });
});
