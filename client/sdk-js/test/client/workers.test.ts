/** The service worker and the dedicated one, in a real Chromium. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type * as Client from "../../src/client/index.js";
import { xwing } from "../../src/steve/xwing.js";
import { chromiumPath } from "../chromium.js";
import { PCRS } from "../enclave.js";
import { vector } from "../files.js";
import { type App, echo, PROFILE } from "./host.js";
import { type Given, onPage } from "./page.js";

const path = chromiumPath() ?? "";
const given: Given = { root: vector("ok-live").root, ...PROFILE };
const inChromium = { skip: path === "", timeout: 180_000 };
const [pcr0 = ""] = PCRS;
const wrong: Given = { ...given, pcr1: pcr0 };

/** Registers the service worker with a policy; the name of the error, or why the enclave is trusted. */
async function register({ root, ...profile }: Given): Promise<string> {
  const script = "/register.js";
  const { registerEnclaveWorker } = (await import(script)) as typeof Client;
  const devRoot = Uint8Array.from(atob(root), (character) => character.charCodeAt(0));
  const policy = { mode: "pinned", profiles: [profile] } as const;
  return registerEnclaveWorker("/enclave-sw.js", { policy, devRoot }).then(
    ({ trust }) => trust,
    (error: Error) => error.name,
  );
}

/** What a page that knows nothing of all this gets. */
async function plain(path: string): Promise<string> {
  try {
    const response = await fetch(path, { method: "POST", body: "secret" });
    return `${response.status} ${await response.text()}`;
  } catch (error) {
    return (error as Error).name;
  }
}

test("a service worker sends an app's requests into the enclave, or nowhere", inChromium, async () => {
  await onPage(path, { kem: xwing }, async (page, host, context) => {
    const isPlain = () => host.came.some((one) => /\/(notes|page|late)/.test(one));
    await page.evaluate(async () => {
      const controlled = new Promise((resolve) =>
        navigator.serviceWorker.addEventListener("controllerchange", resolve),
      );
      await navigator.serviceWorker.register("/enclave-sw.js");
      await controlled;
    });
    assert.equal(await page.evaluate(plain, "/notes"), '503 {"error":"e2e_not_configured"}');
    assert.equal(await page.evaluate(register, wrong), "PCR_POLICY_MISMATCH");
    assert.equal(await page.evaluate(plain, "/notes"), "TypeError");
    assert.deepEqual([host.ran, isPlain()], [[], false]);

    // One attempt speaks for all requests, and the next one is made after a pause.
    const attempts = () => host.came.filter((one) => one.includes("/evidence")).length;
    const once = attempts();
    for (const path of ["/notes?1", "/notes?2", "/notes?3"])
      assert.equal(await page.evaluate(plain, path), "TypeError");
    assert.equal(attempts(), once);
    const [worker] = context.serviceWorkers();
    await worker?.evaluate(() => {
      const real = performance.now.bind(performance);
      performance.now = () => real() + 20_000;
    });
    await page.evaluate(() => Promise.allSettled(["/notes?4", "/notes?5"].map((path) => fetch(path))));
    assert.equal(attempts(), once + 1);

    assert.equal(await page.evaluate(register, given), "pinned");
    assert.match(
      await page.evaluate(plain, "/notes?a=1"),
      /^200 {"method":"POST","path":"\/notes\?a=1".*"content":"secret"}$/,
    );
    await page.goto(`${host.url}/page`);
    assert.match((await page.textContent("body")) ?? "", /"path":"\/page"/);
    // Browsers stop workers when they like.
    const session = await context.newCDPSession(page);
    await session.send("ServiceWorker.enable");
    await session.send("ServiceWorker.stopAllWorkers");
    const before = host.handshakes;
    assert.match(await page.evaluate(plain, "/late"), /"path":"\/late"/);
    assert.equal(host.handshakes, before + 1);
    const ran = host.ran.filter((one) => !one.endsWith("/favicon.ico"));
    assert.deepEqual([ran, isPlain()], [["POST /notes?a=1", "GET /page", "POST /late"], false]);
    host.meddle = ({ path: asked, body }) => (asked === "x" ? { body: body.slice(0, -1) } : undefined);
    assert.equal(await page.evaluate(plain, "/notes"), "TypeError");
    // The page itself begins without encryption, as it must.
    await page.goto(host.url);
    assert.equal(await page.title(), "client");
  });
});

const app: App = async (asked, reply) => {
  if (asked.head.path !== "/stream") return echo(asked, reply);
  await reply.head(200, { "content-type": "text/plain" });
  await reply.content("first");
  await new Promise<void>(() => undefined);
};

test("a dedicated worker holds the keys, and the page has its fetch", inChromium, async () => {
  await onPage(path, { kem: xwing, app }, async (page, host) => {
    const said = await page.evaluate(async ({ root, pcr0, pcr1, pcr2 }: Given) => {
      const bundle = "/client.min.js";
      const { connectInWorker, SteveError } = (await import(bundle)) as typeof Client;
      const devRoot = Uint8Array.from(atob(root), (character) => character.charCodeAt(0));
      const open = (profile: Omit<Given, "root">) => {
        const policy = { mode: "pinned", profiles: [profile] } as const;
        return connectInWorker(new Worker("/enclave-worker.js"), location.origin, { policy, devRoot });
      };
      const refused = await open({ pcr0, pcr1: pcr0, pcr2 }).catch((error: Client.SteveError) => error);
      const enclave = await open({ pcr0, pcr1, pcr2 });
      Object.assign(globalThis, { enclave });
      const response = await enclave.fetch("/notes", { method: "POST", body: "secret" });
      const { content } = (await response.json()) as { content: string };
      const receipt = await enclave.receipt(response);
      const file = new Blob([new Uint8Array(9 << 20)]);
      const upload = (await (await enclave.fetch("/upload", { method: "PUT", body: file })).json()) as {
        content: string;
      };
      const stream = (await (await enclave.fetch("/upload", { method: "PUT", body: file.stream() })).json()) as {
        content: string;
      };
      const empty = await enclave.fetch("/", { method: "HEAD" }).catch((error: Error) => error);
      const stop = new AbortController();
      const endless = await enclave.fetch("/stream", { signal: stop.signal });
      const reader = endless.body?.getReader();
      const first = new TextDecoder().decode((await reader?.read())?.value);
      stop.abort(new Error("ours"));
      const ours = await reader?.read().catch((error: Error) => error.message);
      const lost = await enclave.receipt(endless).catch((error: Error) => error.message);
      return {
        refused: refused instanceof SteveError && `${refused.name} ${refused.mayHaveRun}`,
        said: [content, upload.content, stream.content, first],
        receipt: [receipt.trust, receipt.exchange?.number],
        empty: (empty as Error).name,
        ours,
        lost,
      };
    }, given);
    const long = `${9 << 20} bytes`;
    assert.deepEqual(said, {
      refused: "PCR_POLICY_MISMATCH false",
      said: ["secret", long, long, "first"],
      receipt: ["pinned", 1],
      // The tests' app answers HEAD with content, which is none of HTTP's responses.
      empty: "RESPONSE_INVALID",
      ours: "ours",
      lost: "ours",
    });
    assert.equal(host.handshakes, 1);
    host.meddle = ({ path: asked, body }) => (asked === "x" ? { body: body.slice(0, -1) } : undefined);
    const cut = await page.evaluate(async () => {
      const { enclave } = globalThis as unknown as { enclave: Client.RemoteEnclave };
      const response = await enclave.fetch("/");
      // Chromium's own `text()` gives another reason than the stream.
      const reader = response.body?.getReader();
      let read: unknown = [];
      while (Array.isArray(read) && read.length === 0) {
        const next = reader?.read() ?? Promise.reject(new Error("there is no body"));
        read = await next.then(
          ({ done }) => (done ? "a clean end" : []),
          (error: Client.SteveError) => [error.name, error.mayHaveRun],
        );
      }
      return [read, await enclave.receipt(response).catch((error: Error) => error.name)];
    });
    assert.deepEqual(cut, [["STEVE_TRUNCATED", true], "STEVE_TRUNCATED"]);
  });
});
