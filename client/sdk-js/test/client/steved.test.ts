/** This client and the server that runs inside enclaves: two readings of `specs/steve.md`, in processes of their own. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mock, test } from "node:test";
import { chromium, type Page } from "playwright-core";
import type * as Client from "../../src/client/index.js";
import { connect, Roots, type SteveError } from "../../src/client/index.js";
import { chromiumPath } from "../chromium.js";
import { KEMS } from "../steve/vector.js";
import { type Deployment, deployed, stevedPath } from "./steved.js";

const program = stevedPath() ?? "";
const path = chromiumPath() ?? "";

const limits = { skip: program === "", timeout: 120_000 };

test(
  "requests, streams and uploads pass to a real steved and back, in both suites, with either evidence",
  limits,
  async () => {
    for (const { suite } of KEMS) {
      await deployed(
        program,
        async (deployment) => {
          for (const freshEvidence of [false, true]) {
            const enclave = await connect(deployment.url, { ...deployment.options, freshEvidence });
            const response = await enclave.fetch("/notes?a", { method: "POST", body: "sécret" });
            assert.deepEqual([response.status, await response.text()], [201, "sécret"]);
            assert.equal(response.headers.get("x-was"), `v=3; suite=${suite.name}`);
            const { trust, root, exchange } = await enclave.receipt(response);
            assert.deepEqual([trust, root, exchange?.number], ["pinned", "dev", 1]);
          }
          const enclave = await connect(deployment.url, deployment.options);
          const words = (await enclave.fetch("/words")).body?.pipeThrough(new TextDecoderStream()).getReader();
          assert.equal((await words?.read())?.value, "one");
          deployment.goOn();
          assert.equal((await words?.read())?.value, "two");
          assert.equal((await words?.read())?.done, true);
          const content = Uint8Array.from({ length: 3_000_000 }, (_, at) => at % 251);
          const digest = createHash("sha256").update(content).digest("hex");
          const stream = () => new Blob([content]).stream();
          for (const body of [content, stream()]) {
            assert.equal(await (await enclave.fetch("/digest", { method: "PUT", body })).text(), digest);
          }
          const back = await enclave.fetch("/echo", { method: "POST", body: content });
          assert.equal(
            createHash("sha256")
              .update(new Uint8Array(await back.arrayBuffer()))
              .digest("hex"),
            digest,
          );
          const many = Array.from({ length: 32 }, async (_, number) => {
            const answer = await enclave.fetch("/echo", { method: "POST", body: String(number) });
            assert.equal(await answer.text(), String(number));
          });
          await Promise.all(many);
        },
        suite.name,
      );
    }
  },
);

test("a session is renewed with a real steved while a response of the one before goes on", limits, async () => {
  const visit = async (deployment: Deployment) => {
    const real = Date.now;
    let passed = 0;
    const clock = mock.method(Date, "now", () => real() + passed);
    try {
      const enclave = await connect(deployment.url, deployment.options);
      const long = await enclave.fetch("/words");
      passed = 95_000;
      const next = await enclave.fetch("/echo", { method: "POST", body: "new" });
      assert.equal(await next.text(), "new");
      deployment.goOn();
      assert.equal(await long.text(), "onetwo");
      const [before, after] = [await enclave.receipt(long), await enclave.receipt(next)];
      assert.notEqual(before.sessionId, after.sessionId);
      assert.equal(before.keyConfigsSha256, after.keyConfigsSha256);
    } finally {
      clock.mock.restore();
    }
  };
  await deployed(program, visit, "x25519", 100);
});

test(
  "a real steved of other registers, another root or another suite is refused before anything is sent",
  limits,
  async () => {
    await deployed(program, async (deployment) => {
      const { options, profile } = deployment;
      const other = { mode: "pinned", profiles: [{ ...profile, pcr1: profile.pcr2 }] } as const;
      for (const [wrong, name] of [
        [{ policy: other }, "PCR_POLICY_MISMATCH"],
        [{ roots: Roots.aws() }, "EVIDENCE_INVALID"],
        [{ suite: "xwing" }, "SUITE_MISMATCH"],
        [{ appContext: Uint8Array.of(1) }, undefined],
      ] as const) {
        const connected = connect(deployment.url, { ...options, ...wrong });
        if (name === undefined) await connected;
        else await assert.rejects(connected, { name, mayHaveRun: false });
      }
      assert.deepEqual(deployment.ran, []);
    });
  },
);

test(
  "what a real steved cuts, or its end, is never a shorter answer, and the next request has another session",
  limits,
  async () => {
    await deployed(program, async (deployment) => {
      const enclave = await connect(deployment.url, deployment.options);
      // Before or after its head, as it happens.
      const cut = enclave.fetch("/cut").then((response) => response.text());
      await assert.rejects(cut, (error: SteveError) => {
        return error.is("STEVE_SEALED") && error.values.code === "upstream_truncated" && error.mayHaveRun;
      });
      const words = (await enclave.fetch("/words")).body?.getReader();
      await words?.read();
      await deployment.kill();
      await assert.rejects(words?.read() ?? Promise.resolve(), { name: "STEVE_TRUNCATED", mayHaveRun: true });
      await deployment.begin();
      const before = deployment.ran.length;
      const gone = enclave.fetch("/echo", { method: "POST", body: "pay" });
      await assert.rejects(gone, (error: SteveError) => {
        return error.is("STEVE_AMBIGUOUS") && error.values.code === "session_unknown" && error.values.status === 410;
      });
      assert.equal(deployment.ran.length, before);
      assert.equal(await (await enclave.fetch("/echo", { method: "POST", body: "pay" })).text(), "pay");
      assert.equal(deployment.ran.length, before + 1);
    });
  },
);

/** What is kept between visits of the page. */
interface Kept {
  enclave?: Client.Enclave;
}

/** Opens a WebSocket, says some things, closes, and tells what it heard. */
async function speak({ root, pinned }: { root: string; pinned: Client.ImagePcrs }): Promise<readonly unknown[]> {
  const bundle = "/register.js";
  const { connect, EnclaveWebSocket, Roots, SteveError } = (await import(bundle)) as typeof Client;
  const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
  const kept = globalThis as Kept;
  const policy = { mode: "pinned", profiles: [pinned] } as const;
  kept.enclave ??= await connect(location.origin, { policy, suite: "x25519", roots });
  const socket = new EnclaveWebSocket(kept.enclave, "/chat", ["chat"]);
  socket.binaryType = "arraybuffer";
  const heard: unknown[] = [];
  return new Promise((resolve) => {
    socket.onopen = () => {
      heard.push(socket.protocol);
      for (const one of [Uint8Array.of(1, 2), new Uint8Array(300_000)]) socket.send(one);
    };
    socket.onmessage = ({ data }) => {
      heard.push(data.byteLength);
      if (heard.length === 3) socket.close(4001, "done");
    };
    socket.onerror = ({ error }) => {
      heard.push(error instanceof SteveError ? [error.name, error.values, error.mayHaveRun] : String(error));
    };
    socket.onclose = ({ code, wasClean }) => resolve([...heard, code, wasClean]);
  });
}

test(
  "WebSockets pass from Chromium through a real steved, and one of a session that is gone costs one error",
  { ...limits, skip: program === "" || path === "" },
  async () => {
    await deployed(program, async (deployment) => {
      const browser = await chromium.launch({ executablePath: path, chromiumSandbox: process.getuid?.() !== 0 });
      try {
        const page: Page = await browser.newPage();
        await page.goto(deployment.url);
        const given = { root: base64Of(deployment.root), pinned: deployment.profile };
        const whole = ["chat", 2, 300_000, 4001, true];
        assert.deepEqual(await page.evaluate(speak, given), whole);
        await deployment.kill();
        await deployment.begin();
        const [error, ...rest] = await page.evaluate(speak, given);
        const authority = new URL(deployment.url).host;
        const values = { authority, status: null, code: "session_unknown" };
        assert.deepEqual(
          [error, rest],
          [
            ["STEVE_AMBIGUOUS", values, true],
            [1006, false],
          ],
        );
        assert.deepEqual(await page.evaluate(speak, given), whole);
      } finally {
        await browser.close();
      }
    });
  },
);

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
