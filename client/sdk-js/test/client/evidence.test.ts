/** Evidence and handshakes that were changed on their way make no session, wherever that was. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { concat } from "../../src/bytes.js";
import { connect, SteveError } from "../../src/client/index.js";
import { type Host, OPTIONS, visiting } from "./host.js";

async function refusal(host: Host, what: string): Promise<string> {
  const error = await connect(host.url, OPTIONS).then(
    () => assert.fail(`${what}: it was trusted`),
    (one: unknown) => one,
  );
  assert.ok(error instanceof SteveError, `${what}: ${error}`);
  assert.equal(error.mayHaveRun, false, what);
  return error.name;
}

/** The places of all bytes at both ends, and of some between. */
function* places(length: number): Generator<number> {
  for (let at = 0; at < length; at += at < 60 || at >= length - 60 ? 1 : 41) yield at;
}

test("evidence that is changed anywhere is refused", async () => {
  await visiting({}, async (host) => {
    const names = new Set<string>();
    for (const at of places((await host.bundle(null)).length)) {
      host.meddle = ({ path, body }) =>
        path === "evidence" ? { body: body.map((byte, index) => (index === at ? byte ^ 1 : byte)) } : undefined;
      names.add(await refusal(host, `byte ${at}`));
    }
    assert.deepEqual([...names].sort(), ["EVIDENCE_INVALID", "KEY_BINDING"]);
    assert.equal(host.handshakes, 0);
  });
});

test("answers to a hello that are cut anywhere, or longer than any, make no session", async () => {
  await visiting({}, async (host) => {
    for (let at = 0; at < 168; at += 1) {
      host.meddle = ({ path, body }) =>
        path === "session" ? { body: body.slice(0, Math.min(at, body.length - 1)) } : undefined;
      assert.equal(await refusal(host, `cut at ${at}`), "HANDSHAKE_FAILED");
    }
    host.meddle = ({ path, body }) => (path === "session" ? { body: concat(body, Uint8Array.of(0)) } : undefined);
    assert.equal(await refusal(host, "a byte more"), "HANDSHAKE_FAILED");
    for (const length of [8193, 1 << 20]) {
      host.meddle = ({ path }) => (path === "session" ? { body: new Uint8Array(length) } : undefined);
      assert.equal(await refusal(host, `${length} bytes`), "UNREACHABLE");
    }
    assert.equal(host.came.includes("POST /.well-known/steve/x"), false);
  });
});

test("a short request shows a length in steps of 512 bytes", async () => {
  await visiting({}, async (host) => {
    const enclave = await connect(host.url, OPTIONS);
    const lengths = new Set<number>();
    for (const path of ["/", "/a", `/${"long".repeat(50)}`, `/${"long".repeat(150)}`]) {
      const response = await enclave.fetch(path, { method: "POST", body: "b" });
      await response.text();
      lengths.add((await enclave.receipt(response)).exchange?.sent ?? 0);
    }
    // A header, the last chunk's mark, one or two times 512 bytes, and their seal.
    assert.deepEqual([...lengths], [25 + 1 + 512 + 16, 25 + 1 + 1024 + 16]);
  });
});
