/** What a hostile host makes of a client's requests: errors by name, each request at most once, and never a short or another answer. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, concat, toHex } from "../../src/bytes.js";
import { connect, type Enclave, Roots, SteveError, type SteveErrorName } from "../../src/client/index.js";
import { readVarint } from "../../src/steve/varint.js";
import { NOON, PCRS } from "../enclave.js";
import { type App, Host, type HostOptions, type Meddle, OPTIONS, PROFILE, visiting } from "./host.js";

/** What became of a request: its text, or the name of its error. */
async function outcome(app: Enclave, path = "/"): Promise<string> {
  try {
    return await (await app.fetch(path)).text();
  } catch (error) {
    assert.ok(error instanceof SteveError, String(error));
    return `${error.name} ${error.mayHaveRun}`;
  }
}

const short: App = async (asked, reply) => {
  await reply.head(200, { a: "b" });
  await reply.content("some");
  await reply.content(`words of ${asked.head.path}`);
  await reply.end();
};

const BROKEN = /^(STEVE_TRUNCATED|RESPONSE_INVALID|STEVE_AMBIGUOUS) true$/;

/** The exchange alone. */
function onX(meddle: (body: Bytes, request: Bytes) => ReturnType<Meddle>): Meddle {
  return ({ path, body, status }, request) => (path === "x" && status === 200 ? meddle(body, request) : undefined);
}

test("a response that is cut at any byte is an error, and never a short success", async () => {
  await visiting({ app: short }, async (host) => {
    const app = await connect(host.url, OPTIONS);
    let length = 0;
    host.meddle = onX((body) => {
      length = body.length;
      return undefined;
    });
    assert.equal(await outcome(app), "somewords of /");
    const before = host.ran.length;
    for (let at = 0; at < length; at++) {
      for (const cut of [true, false]) {
        host.meddle = onX((body) => ({ body: body.slice(0, at), cut }));
        assert.match(await outcome(app), /^(STEVE_TRUNCATED|STEVE_AMBIGUOUS) true$/, `cut at ${at} of ${length}`);
      }
    }
    assert.equal(host.ran.length - before, 2 * length, "each ran once");
    assert.equal(host.handshakes, 1);
  });
});

test("a response that is changed at any byte is an error", async () => {
  await visiting({ app: short }, async (host) => {
    const app = await connect(host.url, OPTIONS);
    let length = 1;
    for (let at = 0; at < length; at++) {
      host.meddle = onX((body) => {
        length = body.length;
        const other = body.slice();
        other[at] = (other[at] ?? 0) ^ (1 << (at % 8));
        return { body: other };
      });
      assert.match(await outcome(app), BROKEN, `byte ${at}`);
    }
    host.meddle = onX((body) => ({ body: concat(body, Uint8Array.of(0)) }));
    assert.match(await outcome(app), BROKEN);
  });
});

test("who says nothing for too long is left, and who thinks long is not", async () => {
  const never = () => new Promise<void>(() => undefined);
  const thinking: App = async ({ head }, reply) => {
    if (head.path === "/mute") await never();
    await reply.head(200);
    if (head.path === "/silent") await never();
    for (let waited = 0; waited < 6; waited++) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      await reply.pad();
    }
    await reply.content("thought");
    await reply.end();
  };
  await visiting({ app: thinking }, async (host) => {
    const app = await connect(host.url, { ...OPTIONS, idleMs: 1000 });
    assert.equal(await outcome(app, "/thinks"), "thought");
    assert.equal(await outcome(app, "/mute"), "STEVE_AMBIGUOUS true");
    assert.equal(await outcome(app, "/silent"), "STEVE_TRUNCATED true");
    const patient = await connect(host.url, { ...OPTIONS, idleMs: Number.POSITIVE_INFINITY });
    assert.equal(await outcome(patient, "/thinks"), "thought");
  });
});

/** The chunks of a stream, each with its length. */
function chunks(stream: Bytes): readonly Bytes[] {
  const all: Bytes[] = [];
  for (let at = 0; at < stream.length; ) {
    const length = readVarint(stream.subarray(at), () => new Error("a length")) ?? assert.fail();
    const end = length.value === 0 ? stream.length : at + length.used + length.value;
    all.push(stream.slice(at, end));
    at = end;
  }
  return all;
}

test("chunks that are dropped, doubled or reordered are an error", async () => {
  await visiting({ app: short }, async (host) => {
    const app = await connect(host.url, OPTIONS);
    for (const wrong of [
      ([, ...rest]: readonly Bytes[]) => rest,
      ([a, , ...rest]: readonly Bytes[]) => [a, ...rest],
      ([a, ...rest]: readonly Bytes[]) => [a, a, ...rest],
      ([a, b, ...rest]: readonly Bytes[]) => [b, a, ...rest],
      ([a, b, c, ...rest]: readonly Bytes[]) => [a, c, b, ...rest],
      (all: readonly Bytes[]) => all.slice(0, -1),
      (all: readonly Bytes[]) => [...all, ...all],
    ]) {
      host.meddle = onX((body) => ({ body: concat(...(wrong(chunks(body)) as Bytes[])) }));
      assert.match(await outcome(app), BROKEN, String(wrong));
    }
  });
});

test("answers of other requests, sessions and enclaves are no answers", async () => {
  await visiting({ app: short }, async (host) => {
    const app = await connect(host.url, OPTIONS);
    const kept: Bytes[] = [];
    host.meddle = onX((body) => {
      kept.push(body);
      return undefined;
    });
    assert.equal(await outcome(app, "/one"), "somewords of /one");
    const other = await connect(host.url, OPTIONS);
    assert.equal(await outcome(other, "/two"), "somewords of /two");
    const [one, two] = kept;
    assert.ok(one && two);
    for (const body of [one, two]) {
      host.meddle = onX(() => ({ body }));
      assert.match(await outcome(app), BROKEN);
    }
    // The request as its own response.
    host.meddle = onX((_, request) => ({ body: request.slice(25) }));
    assert.match(await outcome(app), BROKEN);
  });
});

test("what is said outside the tunnel is ambiguous, and nothing is sent again", async () => {
  await visiting({ app: short }, async (host) => {
    const app = await connect(host.url, OPTIONS);
    const html = { status: 200, type: "text/html" };
    for (const lie of [
      { status: 500 },
      { status: 503, type: "application/problem+json" },
      { status: 403, type: "application/json", body: new TextEncoder().encode('{"error":"e2e_required"}') },
      { status: 204 },
      { status: 302 },
      html,
      { ...html, body: new Uint8Array(100_000) },
      { status: 200, type: "application/problem+json" },
    ]) {
      const before = host.came.length;
      host.meddle = onX(() => lie);
      const error = await app.fetch("/", { method: "POST", body: "b" }).then(
        () => assert.fail(),
        (one: SteveError) => one,
      );
      assert.deepEqual([error.name, error.mayHaveRun], ["STEVE_AMBIGUOUS", true], JSON.stringify(lie));
      assert.match(error.message, /may have run, or not: nothing here can tell/);
      assert.equal(host.came.length, before + 1);
    }
  });
});

test("a session that is said to be gone is replaced for the next request, three times a minute", async () => {
  await visiting({ app: short }, async (host, clock) => {
    const app = await connect(host.url, OPTIONS);
    host.forgetSessions();
    const error = await app.fetch("/").then(
      () => assert.fail(),
      (one: SteveError) => one,
    );
    assert.ok(error.is("STEVE_AMBIGUOUS") && error.values.status === 410 && error.values.code === "session_unknown");
    assert.equal(await outcome(app), "somewords of /");
    assert.equal(host.handshakes, 2);
    host.forgetSessions();
    assert.equal(await outcome(app), "STEVE_AMBIGUOUS true");
    assert.equal(await outcome(app), "somewords of /");
    host.forgetSessions();
    assert.equal(await outcome(app), "STEVE_AMBIGUOUS true");
    assert.equal(await outcome(app), "TOO_MANY_HANDSHAKES false");
    assert.equal(host.handshakes, 3);
    clock.now += 61_000;
    assert.equal(await outcome(app), "somewords of /");
  });
});

test("an enclave that starts again is asked until it is there, however often", async () => {
  await visiting({ app: short }, async (host) => {
    const app = await connect(host.url, OPTIONS);
    host.forgetSessions();
    assert.equal(await outcome(app), "STEVE_AMBIGUOUS true");
    host.meddle = () => ({ status: 503, type: "application/problem+json", body: new Uint8Array() });
    for (let more = 0; more < 5; more += 1) assert.equal(await outcome(app), "UNREACHABLE false");
    host.meddle = undefined;
    assert.equal(await outcome(app), "somewords of /");
    assert.equal(host.handshakes, 2);
  });
});

test("what the enclave itself says is believed", async () => {
  const app: App = async (asked, reply) => {
    const retryAfterS = asked.head.path === "/busy" ? 7 : null;
    if (asked.head.path === "/late") {
      await reply.head(200);
      await reply.content("some");
    }
    await reply.error({
      code: retryAfterS ? "busy" : "upstream_truncated",
      executed: retryAfterS === null,
      retryAfterS,
    });
  };
  await visiting({ app }, async (host) => {
    const enclave = await connect(host.url, OPTIONS);
    const error = await enclave.fetch("/busy").then(
      () => assert.fail(),
      (one: SteveError) => one,
    );
    assert.ok(error.is("STEVE_SEALED"));
    assert.deepEqual([error.values.code, error.values.retryAfterS, error.mayHaveRun], ["busy", 7, false]);
    assert.equal(await outcome(enclave), "STEVE_SEALED true");
    const late = await enclave.fetch("/late");
    await assert.rejects(late.text(), { name: "STEVE_SEALED", mayHaveRun: true });
    await assert.rejects(enclave.receipt(late), { name: "STEVE_SEALED" });
  });
});

async function refused(options: HostOptions, name: SteveErrorName, more: object = {}, meddle?: Meddle): Promise<void> {
  await visiting(options, async (host) => {
    host.meddle = meddle;
    const error = await connect(host.url, { ...OPTIONS, ...more }).then(
      () => assert.fail(name),
      (one: SteveError) => one,
    );
    assert.deepEqual([error.name, error.mayHaveRun], [name, false], error.message);
    assert.equal(host.came.includes("POST /.well-known/steve/x"), false);
  });
}

test("evidence that does not hold is refused by name, before a hello", async () => {
  const zero = "00".repeat(48);
  const [pcr0 = "", , pcr2 = ""] = PCRS;
  await refused({ pcrs: [pcr0, pcr0, pcr2] }, "PCR_POLICY_MISMATCH");
  await refused({}, "PCR_POLICY_MISMATCH", {
    policy: { mode: "pinned", profiles: [PROFILE], registers: { 3: "11".repeat(48) } },
  });
  await refused({ pcrs: [zero, zero, zero] }, "EVIDENCE_INVALID");
  await refused({}, "EVIDENCE_INVALID", { roots: Roots.aws() });
  await refused({ claims: { keyConfigsHash: new Uint8Array(32) } }, "KEY_BINDING");
  await refused({ claims: { notAfterMs: BigInt(NOON - 1) } }, "EVIDENCE_STALE");
  await refused({ claims: { notBeforeMs: BigInt(NOON + 120_001) } }, "EVIDENCE_STALE");
  await refused({ claims: { plaintextFallback: true } }, "PLAINTEXT_FALLBACK_REFUSED");
  await refused({}, "SUITE_MISMATCH", { suite: "xwing" });
  const evidence = (change: (body: Bytes) => object): Meddle => {
    return ({ path, body }) => (path === "evidence" ? change(body) : undefined);
  };
  await refused(
    {},
    "EVIDENCE_INVALID",
    {},
    evidence((body) => ({ body: concat(body, Uint8Array.of(0)) })),
  );
  await refused(
    {},
    "UNREACHABLE",
    {},
    evidence(() => ({ body: new Uint8Array(32_769) })),
  );
  await refused(
    {},
    "UNREACHABLE",
    {},
    evidence(() => ({ type: "text/html" })),
  );
  await refused(
    {},
    "UNREACHABLE",
    {},
    evidence(() => ({ status: 503 })),
  );
  await refused(
    {},
    "UNREACHABLE",
    {},
    evidence((body) => ({ body: body.slice(0, 100), cut: true })),
  );
  await visiting({ claims: { plaintextFallback: true } }, async (host) => {
    const app = await connect(host.url, { ...OPTIONS, allowPlaintextFallback: true });
    assert.equal((await app.established()).plaintextFallback, true);
  });
});

test("evidence that is cut is no evidence", async () => {
  await visiting({}, async (host) => {
    const { length } = await host.bundle(null);
    for (let at = 0; at < length; at += 29) {
      host.meddle = ({ path, body }) => (path === "evidence" ? { body: body.slice(0, at) } : undefined);
      await assert.rejects(connect(host.url, OPTIONS), { name: "EVIDENCE_INVALID" });
    }
  });
});

test("a challenge is answered by nobody else, and never twice", async () => {
  await visiting({}, async (host) => {
    const options = { ...OPTIONS, freshEvidence: true };
    let kept: Bytes | undefined;
    host.meddle = ({ path, body }) => {
      if (path === "evidence") kept ??= body;
      return undefined;
    };
    await connect(host.url, options);
    const replayed = kept ?? assert.fail();
    host.meddle = ({ path }) => (path === "evidence" ? { body: replayed } : undefined);
    await assert.rejects(connect(host.url, options), { name: "EVIDENCE_NONCE", mayHaveRun: false });
    const epoch = await host.bundle(null);
    host.meddle = ({ path }) => (path === "evidence" ? { body: epoch } : undefined);
    await assert.rejects(connect(host.url, options), { name: "EVIDENCE_NONCE" });
  });
});

test("evidence of a time that is over is refused, whoever keeps it", async () => {
  await visiting({}, async (host, clock) => {
    clock.now += 3_600_001;
    await assert.rejects(connect(host.url, OPTIONS), { name: "EVIDENCE_STALE", mayHaveRun: false });
    clock.now += 24 * 3_600_000;
    await assert.rejects(connect(host.url, OPTIONS), { name: "EVIDENCE_STALE" });
  });
});

test("another enclave, a repeated answer and a changed one make no session", async () => {
  await visiting({}, async (host) => {
    // The evidence is the honest enclave's, and another one with its own key answers.
    const honest = await host.bundle(null);
    const liar = await Host.start({ seed: 0x23 });
    liar.meddle = ({ path }) => (path === "evidence" ? { body: honest } : undefined);
    try {
      await assert.rejects(connect(liar.url, OPTIONS), (error: SteveError) => !error.mayHaveRun);
      assert.equal(liar.ran.length, 0);
    } finally {
      liar.stop();
    }
    let kept: Bytes | undefined;
    host.meddle = ({ path, body }) => {
      if (path === "session") kept ??= body;
      return undefined;
    };
    await connect(host.url, OPTIONS);
    const hello = kept ?? assert.fail();
    host.meddle = ({ path }) => (path === "session" ? { body: hello } : undefined);
    await assert.rejects(connect(host.url, OPTIONS), { name: "HANDSHAKE_FAILED", mayHaveRun: false });
    for (let at = 0; at < hello.length; at += 7) {
      host.meddle = ({ path, body }) =>
        path === "session" ? { body: body.map((b, i) => (i === at ? b ^ 1 : b)) } : undefined;
      await assert.rejects(
        connect(host.url, OPTIONS),
        { name: "HANDSHAKE_FAILED" },
        toHex(hello).slice(2 * at, 2 * at + 2),
      );
    }
    assert.equal(host.came.includes("POST /.well-known/steve/x"), false);
  });
});

test("there is no policy that trusts anybody", async () => {
  const zero = { pcr0: "00".repeat(48), pcr1: "00".repeat(48), pcr2: "00".repeat(48) };
  for (const policy of [
    undefined,
    null,
    {},
    { mode: "none" },
    { mode: "pinned" },
    { mode: "pinned", profiles: [] },
    { mode: "pinned", profiles: [{ pcr0: "" }] },
    { mode: "pinned", profiles: [zero] },
    { mode: "pinned", profiles: [PROFILE], profile: 1 },
    { mode: "pinned", profiles: [PROFILE], registers: undefined },
    { mode: "tofu", registers: { 99: "11".repeat(48) } },
  ]) {
    const options = { ...OPTIONS, policy } as unknown as typeof OPTIONS;
    await assert.rejects(connect("http://127.0.0.1:9", options), { name: "POLICY_INVALID", mayHaveRun: false });
  }
  await assert.rejects(connect("http://127.0.0.1:9", undefined as unknown as typeof OPTIONS), {
    name: "POLICY_INVALID",
  });
  await assert.rejects(connect("http://127.0.0.1:9", { ...OPTIONS, trust: 1 } as typeof OPTIONS), TypeError);
  await assert.rejects(connect("http://127.0.0.1:9", OPTIONS), { name: "UNREACHABLE", mayHaveRun: false });
});
