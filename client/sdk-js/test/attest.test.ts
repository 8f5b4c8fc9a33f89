/** Evidence of a live server: what is asked, and what is refused. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { attest, bindManifest, type Verified } from "../src/index.js";
import { type Answer, answerTo, MANIFEST, NOON, PCRS, serving } from "./enclave.js";
import { base64, expectedOf, vector, verdictOf } from "./files.js";

const honest = vector("ok-live");
const { document } = honest;
const live = { roots: expectedOf(honest).roots ?? assert.fail() };

test("a live enclave verifies, with the manifest it vouches for", async () => {
  const clock = mock.method(Date, "now", () => NOON);
  try {
    const answer: Answer = (_, response, body) => response.end(answerTo(body));
    const [pcr0 = "", pcr1 = "", pcr2 = ""] = PCRS;
    await serving(answer, async (url) => {
      const { verified, manifest } = await attest(url, { ...live, profiles: [{ pcr0, pcr1, pcr2 }] });
      assert.equal(manifest, MANIFEST);
      assert.deepEqual(verified.checked, { call: "live", at: NOON });
      assert.deepEqual(verified.measurements, { pcr0, pcr1, pcr2 });
      const other = { pcr0, pcr1, pcr2: pcr1 };
      await assert.rejects(attest(url, { ...live, profiles: [other] }), { name: "PcrMismatch", blame: "mismatch" });
    });
    const lie: Answer = (_, response, body) => response.end(answerTo(body).replace("/app", "/bad"));
    await serving(lie, (url) => assert.rejects(attest(url, live), { name: "ManifestError" }));
    const replay = answerTo(JSON.stringify({ nonce: Buffer.alloc(32, 7).toString("base64") }));
    const replaying: Answer = (_, response) => response.end(replay);
    await serving(replaying, (url) => assert.rejects(attest(url, live), { name: "NonceMismatch", blame: "stale" }));
  } finally {
    clock.mock.restore();
  }
});

test("a document for another nonce, or of another time, is refused as stale", async () => {
  const asked: { method: string | undefined; url: string | undefined; body: string }[] = [];
  const answer: Answer = ({ method, url }, response, body) => {
    asked.push({ method, url, body });
    response.end(JSON.stringify({ document, manifest: null }));
  };
  await serving(answer, async (url) => {
    await assert.rejects(attest(url, live), { name: "Expired", blame: "stale" });
    await assert.rejects(attest(`${url}/elsewhere?x=1`, live), { name: "Expired" });
  });
  const [first, second] = asked;
  assert.deepEqual([first?.method, first?.url, second?.url], ["POST", "/attestation", "/elsewhere?x=1"]);
  const nonces = asked.map(({ body }) => (JSON.parse(body) as { nonce: string }).nonce);
  assert.ok(nonces.every((nonce) => base64(nonce).length === 32) && nonces[0] !== nonces[1]);
});

test("whatever is no evidence is said to be none", async () => {
  const answers: readonly (readonly [Answer, RegExp])[] = [
    [(_, response) => response.writeHead(302, { Location: "/other" }).end(), /could be fetched/],
    [(_, response) => response.writeHead(500).end("{}"), /could be fetched/],
    [(request) => request.destroy(), /could be fetched/],
    [(_, response) => response.end("a".repeat(1024 * 1024 + 1)), /could be fetched/],
    [(_, response) => response.end(Buffer.of(0xc3, 0x28)), /could be fetched/],
    [(_, response) => response.end('{"document": "AA=="'), /is not an attestation response/],
    [(_, response) => response.end('{"document": "AA"}'), /is not an attestation response/],
    [(_, response) => response.end('{"document": "AB=="}'), /is not an attestation response/],
    [(_, response) => void response.write("{"), /could be fetched/],
  ];
  for (const [answer, message] of answers) {
    await serving(answer, (url) =>
      assert.rejects(attest(url, { ...live, timeoutMs: 2000 }), { name: "FetchError", message }),
    );
  }
  for (const url of ["example.com", "ftp://example.com", "javascript:0"]) {
    await assert.rejects(attest(url), { name: "FetchError", message: /is not an http or https URL/ });
  }
});

test("a manifest belongs to a document or does not", async () => {
  const verified = await verdictOf(honest);
  const saying = (hex: string | null) =>
    ({ ...verified, userData: hex === null ? null : Buffer.from(hex, "hex") }) as unknown as Verified;
  const map = `a20170${Buffer.from("caution-evidence").toString("hex")}02`;
  const digest = "c0c1".repeat(16);
  const ofEmptyObject = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

  await bindManifest(saying(`${map}f6`), null);
  await bindManifest(saying(`${map}5820${ofEmptyObject}`), "{}");
  for (const [userData, manifest, message] of [
    [`${map}5820${ofEmptyObject}`, "{ }", /is not the one/],
    [`${map}5820${digest}`, null, /none was sent/],
    [`${map}f6`, "{}", /is not the one/],
    [`${map}5820${ofEmptyObject}00`, "{}", /another form/],
    [`${map}5820${ofEmptyObject.slice(2)}`, "{}", /another form/],
    [`${map}f600`, null, /another form/],
    ["", null, /another form/],
    [null, null, /another form/],
  ] as const) {
    await assert.rejects(bindManifest(saying(userData), manifest), { name: "ManifestError", message });
  }
});
