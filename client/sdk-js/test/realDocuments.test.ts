/** Documents that Nitro hardware signed between 2021 and 2026; as in Rust's `core/attest/tests/real_documents.rs`. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  type Archived,
  AttestationError,
  type RefusalName,
  RootError,
  Roots,
  unverifiedFields,
  verify,
  verifyArchived,
} from "../src/index.js";
import { base64, bytesOf, hex, outsideVectors } from "./files.js";

/** A row of `nitro/index.json`, as far as the tests use it. */
interface Real {
  readonly file: string;
  readonly verify_at_unix_ms: number;
  readonly chain_valid_unix: readonly [number, number];
  readonly debug_mode: boolean;
  readonly module_id: string;
  readonly pcrs: Readonly<Record<string, string>>;
  readonly public_key: string | null;
  readonly user_data: string | null;
  readonly nonce: string | null;
}

const folder = outsideVectors();
const skip = folder === undefined;

function rows(part: string): readonly Real[] {
  const all = JSON.parse(readFileSync(`${folder}/nitro/index.json`, "utf8")) as readonly Real[];
  return all.filter((row) => row.file.startsWith(`nitro/${part}`));
}

function ask(row: Real, policy: Archived = {}) {
  return verifyArchived(bytesOf(`${folder}/${row.file}`), { at: row.verify_at_unix_ms, allowDebug: true, ...policy });
}

async function refusalOf(verdict: Promise<unknown>): Promise<AttestationError> {
  try {
    await verdict;
  } catch (error) {
    if (error instanceof AttestationError) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: "it verified" });
}

function toHex(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes).toString("hex");
}

test("valid documents verify at their own time and show what they hold", { skip }, async () => {
  const valid = rows("valid/");
  assert.equal(valid.length, 46);
  for (const row of valid) {
    const verified = await ask(row);
    assert.equal(verified.root, "aws");
    assert.equal(verified.timestamp, row.verify_at_unix_ms);
    assert.deepEqual(verified.checked, { call: "archived", at: row.verify_at_unix_ms });
    assert.equal(verified.moduleId, row.module_id);
    assert.equal(verified.isDebug, row.debug_mode);
    assert.equal(toHex(verified.publicKey), row.public_key ?? null);
    assert.equal(toHex(verified.userData), row.user_data ?? null);
    assert.equal(toHex(verified.nonce), row.nonce ?? null);
    assert.deepEqual(Object.fromEntries(verified.pcrs), row.pcrs);
    assert.deepEqual(
      Object.values(verified.measurements),
      [0, 1, 2].map((n) => row.pcrs[n]),
    );
    assert.equal(verified.chain.length, 5);
    assert.equal(verified.chain[0]?.commonName, "aws.nitro-enclaves");
    assert.equal(verified.chain[0]?.sha256, "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
    const [from, until] = row.chain_valid_unix;
    assert.equal(verified.chainValidUntil, until * 1000);
    assert.equal(Math.max(...verified.chain.map((one) => one.notBefore)), from * 1000);
    assert.ok(verified.leafValidUntil >= verified.chainValidUntil);
  }
});

test("valid documents are stale outside their window", { skip }, async () => {
  for (const row of rows("valid/")) {
    const [from, until] = row.chain_valid_unix;
    const late = await refusalOf(ask(row, { at: until * 1000 + 1 }));
    assert.ok(late.is("Expired") && late.values.until === until * 1000, row.file);
    const early = await refusalOf(ask(row, { at: from * 1000 - 1 }));
    assert.ok(early.is("NotYetValid") && early.blame === "stale", row.file);
  }
});

test("debug documents are refused by name", { skip }, async () => {
  const debug = rows("valid/").filter((row) => row.debug_mode);
  assert.equal(debug.length, 18);
  for (const row of debug) {
    const refusal = await refusalOf(ask(row, { allowDebug: false }));
    assert.deepEqual([refusal.name, refusal.blame], ["DebugMode", "debug"]);
  }
});

test("invalid and NitroTPM documents are refused by name", { skip }, async () => {
  for (const row of rows("nitrotpm/")) {
    assert.throws(() => unverifiedFields(bytesOf(`${folder}/${row.file}`)), { name: "NitroTpm" });
  }
  const named: Readonly<Record<string, RefusalName>> = {
    "15d4f223": "DocumentSignature",
    "7df2cdc0": "DocumentSignature",
    "4164bfae": "Der",
  };
  const invalid = rows("invalid/");
  assert.equal(invalid.length, 4);
  for (const row of invalid) {
    const refusal = await refusalOf(ask(row, { at: row.verify_at_unix_ms ?? 1_713_379_906_000 }));
    assert.equal(refusal.name, named[row.file.slice(-13, -5)] ?? "UnprotectedHeader", row.file);
  }
});

test("other roots vouch for nothing", { skip }, async () => {
  const pem = (name: string) => {
    const lines = readFileSync(`${folder}/nitro/context/${name}`, "utf8").split("\n");
    return base64(lines.filter((line) => !line.startsWith("-")).join(""));
  };
  assert.throws(() => Roots.fromDer([pem("tampered_root_cert.crt")]), RootError);
  const roots = Roots.fromDer([pem("unknown_ca.crt")]);
  for (const row of rows("valid/")) {
    const refusal = await refusalOf(ask(row, { roots }));
    assert.ok(refusal.is("UnknownRoot") && refusal.values.sha256.startsWith("641a0321"));
  }
});

test("policy is asked of a real document", { skip }, async () => {
  const row = rows("valid/").find((one) => one.file.endsWith("8ff485d8.cose"));
  assert.ok(row);
  const at = row.verify_at_unix_ms;
  const nonce = hex(row.nonce ?? "");
  await ask(row, { nonce });
  assert.equal((await refusalOf(ask(row, { nonce: nonce.slice(1) }))).name, "NonceMismatch");
  assert.equal((await refusalOf(ask(row, { nonce: new Uint8Array() }))).name, "EmptyNonce");

  const live = (maxAgeMs: number) => verify(bytesOf(`${folder}/${row.file}`), { now: at + 60_001, nonce, maxAgeMs });
  assert.deepEqual((await live(60_001)).checked, { call: "live", at: at + 60_001 });
  const old = await refusalOf(live(60_000));
  assert.deepEqual(old.values, { ageMs: 60_001, limitMs: 60_000 });

  const { measurements } = await ask(row);
  await ask(row, { profiles: [measurements] });
  const wrong = { ...measurements, pcr1: "01".repeat(48), pcr2: "02".repeat(48) };
  const mismatch = await refusalOf(ask(row, { profiles: [{ ...wrong, pcr0: "03".repeat(48) }, wrong] }));
  assert.deepEqual(mismatch.values, {
    registers: [
      { register: 1, expected: wrong.pcr1, actual: measurements.pcr1 },
      { register: 2, expected: wrong.pcr2, actual: measurements.pcr2 },
    ],
    profiles: 2,
  });
  const absent = await refusalOf(ask(row, { registers: { 31: "ab".repeat(48) } }));
  assert.equal(absent.message, `PCR31 is absent, expected ${"ab".repeat(48)}`);
});
