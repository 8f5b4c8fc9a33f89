/** The client's bundle in a real Chromium. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type * as Client from "../../src/client/index.js";
import { xwing } from "../../src/steve/xwing.js";
import { chromiumPath } from "../chromium.js";
import { NOON, PCRS } from "../enclave.js";
import { vector } from "../files.js";
import { type App, echo, PROFILE } from "./host.js";
import { type Given, onPage } from "./page.js";
import { one, PEMS, signed, two } from "./releases.js";

const path = chromiumPath() ?? "";
const given: Given = { root: vector("ok-live").root, ...PROFILE };
const inChromium = { skip: path === "", timeout: 180_000 };

const app: App = async (asked, reply) => {
  if (asked.head.path !== "/tokens") return echo(asked, reply);
  await reply.head(200, { "content-type": "text/plain" });
  for (const token of ["one ", "two ", "three"]) await reply.content(token);
  await reply.end();
};

test(
  "a page in Chromium fetches from an enclave: content, streams, and uploads that no memory holds",
  inChromium,
  async () => {
    await onPage(path, { kem: xwing, app }, async (page, host) => {
      const said = await page.evaluate(async ({ root, ...profile }: Given) => {
        const bundle = "/client.min.js";
        const { connect, Roots } = (await import(bundle)) as typeof Client;
        const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
        const enclave = await connect(location.origin, { policy: { mode: "pinned", profiles: [profile] }, roots });
        const response = await enclave.fetch("/notes", { method: "POST", body: "secret" });
        const { content } = (await response.json()) as { content: string };
        const tokens = await (await enclave.fetch("/tokens")).text();
        const file = new Blob([new Uint8Array(9 << 20), new Uint8Array(9 << 20)]);
        const upload = await (await enclave.fetch("/upload", { method: "PUT", body: file })).json();
        const stream = await (await enclave.fetch("/upload", { method: "PUT", body: file.stream() })).json();
        const receipt = await enclave.receipt(response);
        const { suite, trust, exchange } = receipt;
        return {
          content,
          tokens,
          upload: upload.content,
          stream: stream.content,
          suite,
          trust,
          number: exchange?.number,
        };
      }, given);
      const long = `${18 << 20} bytes`;
      assert.deepEqual(said, {
        content: "secret",
        tokens: "one two three",
        upload: long,
        stream: long,
        suite: "xwing",
        trust: "pinned",
        number: 1,
      });
      assert.deepEqual(host.ran, ["POST /notes", "GET /tokens", "PUT /upload", "PUT /upload"]);
      assert.equal(host.handshakes, 1);
    });
  },
);

test(
  "what a browser trusted first survives its pages, of many at once one enrols, and a change is refused",
  inChromium,
  async () => {
    await onPage(path, {}, async (page, host, context) => {
      const attempt = async ({ root }: Given) => {
        const bundle = "/client.min.js";
        const { connect, Roots } = (await import(bundle)) as typeof Client;
        const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
        const one = async () => {
          try {
            const enclave = await connect(location.origin, { policy: { mode: "tofu" }, suite: "x25519", roots });
            return (await enclave.established()).trust;
          } catch (error) {
            const { name, values } = error as Client.SteveError<"PCR_TRUST_MISMATCH">;
            return `${name} ${values.known} ${values.found}`;
          }
        };
        return (await Promise.all([one(), one(), one()])) as string[];
      };
      const other = await context.newPage();
      await other.goto(host.url);
      const all = (await Promise.all([page.evaluate(attempt, given), other.evaluate(attempt, given)])).flat();
      assert.deepEqual(all.sort(), ["tofu-enrolled", ...new Array(5).fill("tofu-matched")]);
      await page.reload();
      const [pcr0 = "", pcr1 = "", pcr2 = ""] = PCRS;
      host.pcrs = [pcr0, pcr2, pcr2];
      const refused = `PCR_TRUST_MISMATCH ${pcr1} ${pcr2}`;
      assert.deepEqual(await page.evaluate(attempt, given), [refused, refused, refused]);
      assert.deepEqual(host.ran, []);
      // A database that holds something else says nothing, and is no first use.
      await page.evaluate(
        () =>
          new Promise<void>((resolve, reject) => {
            const request = indexedDB.open("caution-trust");
            request.onsuccess = () => {
              const transaction = request.result.transaction("first-use", "readwrite");
              const records = transaction.objectStore("first-use");
              records.getAllKeys().onsuccess = function () {
                for (const key of this.result) records.put("broken", key);
              };
              transaction.oncomplete = () => resolve();
              transaction.onabort = () => reject(transaction.error);
            };
          }),
      );
      const [said] = await page.evaluate(attempt, given);
      assert.match(said ?? "", /^PCR_TRUST_STORAGE/);
    });
  },
);

test("the newest release that a browser saw survives its pages, and an older one is refused", inChromium, async () => {
  const release = (version: number, change: object = {}) => {
    const { release, signatures } = signed([one, two], { version, not_after_ms: NOON + 86_400_000, ...change });
    return [release, ...signatures].map((bytes) => Buffer.from(bytes).toString("base64"));
  };
  await onPage(path, {}, async (page, host) => {
    const trusted = (release: readonly string[]) => page.evaluate(asReleased, { ...given, keys: PEMS, release });
    assert.equal(await trusted(release(2)), "signed-release-2");
    assert.equal(await trusted(release(3)), "signed-release-3");
    await page.reload();
    assert.equal(await trusted(release(2)), "RELEASE_ROLLBACK");
    assert.equal(await trusted(release(3, { not_after_ms: NOON + 86_400_001 })), "RELEASE_REWRITTEN");
    assert.equal(await trusted(release(3)), "signed-release-3");
    assert.deepEqual(host.ran, []);
  });
});

/** How a page comes to trust its enclave by a release, or why it does not. */
async function asReleased(all: Given & { readonly keys: readonly string[]; readonly release: readonly string[] }) {
  const bundle = "/client.min.js";
  const { connect, Roots } = (await import(bundle)) as typeof Client;
  const bytes = (text: string) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const [release = new Uint8Array(), ...signatures] = all.release.map(bytes);
  const policy = { mode: "signed", app: "notes", keys: all.keys, threshold: 2, release, signatures } as const;
  const roots = Roots.devRoot(bytes(all.root));
  return connect(location.origin, { policy, suite: "x25519", roots }).then(
    async (enclave) => (await enclave.established()).trust as string,
    (error: Error) => error.name,
  );
}

test("a page of another origin asks for leave once, not with every request", inChromium, async () => {
  await onPage(path, { anyOrigin: true }, async (page, host) => {
    // The same server, and another origin.
    await page.goto(host.url.replace("127.0.0.1", "localhost"));
    const asking = () => host.came.filter((one) => one.startsWith("OPTIONS ")).length;
    const ask = async ({ root, url, ...profile }: Given & { readonly url: string }) => {
      const bundle = "/client.min.js";
      const { connect, Roots } = (await import(bundle)) as typeof Client;
      const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
      const policy = { mode: "pinned", profiles: [profile] } as const;
      const enclave = await connect(url, { policy, suite: "x25519", roots });
      for (const field of ["x-one", "x-two"]) await enclave.fetch("/notes", { headers: { [field]: "1" } });
    };
    await page.evaluate(ask, { ...given, url: host.url });
    assert.deepEqual(
      host.came.filter((one) => one.startsWith("OPTIONS ")),
      ["OPTIONS /.well-known/steve/session", "OPTIONS /.well-known/steve/x"],
    );
    assert.equal(host.ran.length, 2);
    await page.evaluate(ask, { ...given, url: host.url });
    assert.deepEqual([asking(), host.ran.length], [2, 4]);
  });
});
