/** Trust on first use, and signed releases. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import {
  connect,
  type FirstUse,
  type Policy,
  type ReleaseMemory,
  type SeenRelease,
  SteveError,
  type SteveErrorName,
  type TrustStore,
} from "../../src/client/index.js";
import { NOON, PCRS } from "../enclave.js";
import { type Host, OPTIONS, PROFILE, visiting } from "./host.js";
import { one, PEMS, signed, two } from "./releases.js";

/** Keeps what a process knows. */
class Store implements TrustStore, ReleaseMemory {
  readonly kept = new Map<string, unknown>();
  readonly newest = new Map<string, SeenRelease>();
  /** Called before anything is kept. */
  before: () => void = () => undefined;

  async getOrEnroll(key: string, found: FirstUse): Promise<unknown> {
    this.before();
    const known = this.kept.get(key);
    if (known === undefined) this.kept.set(key, found);
    return known;
  }

  async advance(app: string, offered: SeenRelease): Promise<SeenRelease | undefined> {
    this.before();
    const seen = this.newest.get(app);
    if (seen === undefined || seen.version < offered.version) this.newest.set(app, offered);
    return seen;
  }
}

const [pcr0 = "", pcr1 = "", pcr2 = ""] = PCRS;
const OTHER = [pcr0, pcr2, pcr1];

async function refusal(host: Host, policy: Policy, more: object = {}): Promise<SteveError> {
  const error = await connect(host.url, { ...OPTIONS, policy, ...more }).then(
    () => assert.fail("it was trusted"),
    (one: unknown) => one,
  );
  assert.ok(error instanceof SteveError, String(error));
  assert.equal(error.mayHaveRun, false);
  return error;
}

test("the first enclave is remembered before anything is sent, and every other refused with both values", async () => {
  await visiting({}, async (host) => {
    const store = new Store();
    const policy: Policy = { mode: "tofu", store };
    store.before = () => assert.equal(host.came.includes("POST /.well-known/steve/x"), false);
    const first = await connect(host.url, { ...OPTIONS, policy });
    assert.equal((await first.established()).trust, "tofu-enrolled");
    const [record] = store.kept.values();
    assert.deepEqual(record, {
      schema: "caution.first-use/1",
      authority: new URL(host.url).host,
      suite: "x25519",
      registers: { 0: pcr0, 1: pcr1, 2: pcr2 },
      first_seen: "2026-01-15T12:00:00.000Z",
    });
    await (await first.fetch("/")).text();
    store.before = () => undefined;
    const second = await connect(host.url, { ...OPTIONS, policy });
    assert.equal((await second.established()).trust, "tofu-matched");

    host.pcrs = OTHER;
    const changed = await refusal(host, policy);
    assert.ok(changed.is("PCR_TRUST_MISMATCH"));
    const { what, known, found } = changed.values;
    assert.deepEqual([what, known, found], ["PCR1", pcr1, pcr2]);
    assert.match(
      changed.message,
      new RegExp(`${pcr1} when it was first seen, 2026-01-15T12:00:00.000Z, and is ${pcr2} now`),
    );
    // Another context is another deployment.
    await connect(host.url, { ...OPTIONS, policy, appContext: Uint8Array.of(1) });
    assert.equal(store.kept.size, 2);
    // An enclave that never confirmed is not remembered.
    const fresh = new Store();
    host.meddle = ({ path }) => (path === "session" ? { body: new Uint8Array(168) } : undefined);
    assert.equal((await refusal(host, { mode: "tofu", store: fresh })).name, "HANDSHAKE_FAILED");
    assert.equal(fresh.kept.size, 0);
  });
});

test("a store that says nothing is no first use", async () => {
  await visiting({}, async (host) => {
    for (const kept of [
      null,
      "",
      {},
      { schema: "caution.first-use/2" },
      { schema: "caution.first-use/1", suite: "x25519" },
    ]) {
      const store: TrustStore = { getOrEnroll: async () => kept };
      assert.equal((await refusal(host, { mode: "tofu", store })).name, "PCR_TRUST_STORAGE", JSON.stringify(kept));
    }
    const failing: TrustStore = { getOrEnroll: async () => Promise.reject(new Error("disk")) };
    assert.equal((await refusal(host, { mode: "tofu", store: failing })).name, "PCR_TRUST_STORAGE");
    // Node has no IndexedDB.
    assert.equal((await refusal(host, { mode: "tofu" })).name, "PCR_TRUST_STORAGE");
    assert.equal(host.came.includes("POST /.well-known/steve/x"), false);
  });
});

test("a signed release counts when enough keys signed it, and never an older one after it", async () => {
  await visiting({}, async (host, clock) => {
    const memory = new Store();
    const common = { mode: "signed", app: "notes", keys: PEMS, threshold: 2, memory } as const;
    const trusted = async (version: number, change: object = {}) => {
      const policy = { ...common, ...signed([one, two], { version, ...change }) };
      return (await (await connect(host.url, { ...OPTIONS, policy })).established()).trust;
    };
    const refused = async (name: SteveErrorName, parts: object) => {
      const error = await refusal(host, { ...common, ...signed([one, two]), ...parts });
      assert.equal(error.name, name, error.message);
    };
    assert.equal(await trusted(2), "signed-release-2");
    assert.equal(await trusted(2), "signed-release-2");
    assert.equal(await trusted(3), "signed-release-3");
    await refused("RELEASE_ROLLBACK", {});
    await refused("RELEASE_REWRITTEN", signed([one, two], { version: 3, not_after_ms: NOON + 2 }));
    await refused("PCR_POLICY_MISMATCH", signed([one, two], { version: 4, profiles: [{ ...PROFILE, pcr2: pcr1 }] }));
    assert.equal(memory.newest.get("notes")?.version, 3, "what was not trusted is no newest version");
    const broken: ReleaseMemory = { advance: async () => ({ version: "3", sha256: "" }) as unknown as SeenRelease };
    await refused("PCR_TRUST_STORAGE", { ...signed([one, two], { version: 4 }), memory: broken });
    clock.now += 2;
    await refused("RELEASE_EXPIRED", signed([one, two], { version: 4 }));
  });
});

test("what too few signed, or is no release, is refused by name", async () => {
  await visiting({}, async (host) => {
    const common = { mode: "signed", app: "notes", keys: PEMS, threshold: 2, memory: new Store() } as const;
    const stranger = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
    const changed = signed([one, two]);
    changed.release[20] = (changed.release[20] ?? 0) ^ 1;
    const cases: readonly object[] = [
      signed([one]),
      signed([one, one, stranger]),
      signed([]),
      changed,
      { signatures: [Uint8Array.of(1, 2), new Uint8Array()] },
      { threshold: 0 },
      { threshold: 4 },
      { threshold: 1.5 },
      { keys: [] },
      { keys: ["no key"] },
      { keys: [PEMS[0], PEMS[0]] },
      { app: "other" },
      { release: new Uint8Array(65_537) },
      signed([one, two], {}, "{"),
      signed([one, two], {}, "null"),
      signed([one, two], { schema: "caution.app-release/2" }),
      signed([one, two], { version: -1 }),
      signed([one, two], { version: 2 ** 53 }),
      signed([one, two], { not_after_ms: "never" }),
      signed([one, two], { profiles: [] }),
      signed([one, two], { stranger: 1 }),
    ];
    for (const [index, parts] of cases.entries()) {
      const error = await refusal(host, { ...common, ...signed([one, two]), ...parts });
      assert.equal(error.name, "RELEASE_INVALID", `${index}: ${error.message}`);
    }
    for (const profiles of [[{ pcr0: "" }], [{ ...PROFILE, pcr0: "00".repeat(48) }]]) {
      const error = await refusal(host, { ...common, ...signed([one, two], { profiles }) });
      assert.equal(error.name, "POLICY_INVALID");
    }
    assert.equal(host.came.length, 0);
  });
});
