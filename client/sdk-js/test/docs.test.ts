/** Every block of the pages about this package does what it says. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { mock, test } from "node:test";
import { pathToFileURL } from "node:url";
import { xwing } from "../src/steve/xwing.js";
import { chromiumPath, withPage } from "./chromium.js";
import { type App, echo, Host, type SocketApp } from "./client/host.js";
import { onPage } from "./client/page.js";
import { answerTo, NOON, PCRS } from "./enclave.js";
import { base64, hex, inCheckout, inPackage, vector } from "./files.js";
import { steveVector } from "./steve/vector.js";

function blocks(page: string, language: string): readonly string[] {
  const text = readFileSync(inCheckout(page), "utf8");
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, found, block = ""]) =>
    found === language ? block : [],
  );
}

const PAGES = [
  "docs/src/verifying-in-javascript.md",
  "client/sdk-js/README.md",
  "docs/src/encrypting-in-javascript.md",
  "docs/src/end-to-end-encryption.md",
];

/** Runs the blocks against the vectors' enclave, whose root stands in for AWS's, and gives what they print. */
async function printed(): Promise<string> {
  // Inside the package, so that its own name means `dist`.
  const folder = mkdtempSync(inPackage("build/docs-"));
  mkdirSync(`${folder}/.caution`);
  const [pcr0, pcr1, pcr2] = PCRS;
  writeFileSync(`${folder}/.caution/trusted_hashes.json`, JSON.stringify({ pcr0, pcr1, pcr2, verified_at: "" }));
  writeFileSync(`${folder}/document.cose`, base64(vector("ok-live").document));
  const session = steveVector(xwing);
  writeFileSync(`${folder}/keys.ohttp`, hex(session.key_configs));
  writeFileSync(`${folder}/user-data.cbor`, hex(session.epoch_claims));
  const log = mock.method(console, "log", () => undefined);
  const before = process.cwd();
  process.chdir(folder);
  const clock = mock.method(Date, "now", () => NOON);
  const host = await Host.start({ kem: xwing, app, page: attestation });
  try {
    const root = `Roots.devRoot(Buffer.from("${vector("ok-live").root}", "base64"))`;
    for (const [index, block] of PAGES.flatMap((page) => blocks(page, "js")).entries()) {
      const file = `${folder}/block-${index}.mjs`;
      writeFileSync(file, block.replaceAll("https://app.example.com", host.url).replaceAll("Roots.aws()", root));
      await import(pathToFileURL(file).href);
    }
    return log.mock.calls.map((call) => call.arguments.map((one) => JSON.stringify(one)).join(" ")).join("\n");
  } finally {
    host.stop();
    log.mock.restore();
    clock.mock.restore();
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
}

const app: App = async (asked, reply) => {
  if (asked.head.path !== "/events") return echo(asked, reply);
  await reply.head(200, { "content-type": "text/event-stream" });
  await reply.content("data: hello\n\n");
  await reply.end();
};

/** The path that every app has. */
async function attestation(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const piece of request) body += String(piece);
  response.end(answerTo(body));
}

test("the blocks of the pages do what they say", async () => {
  const said = await printed();
  assert.match(said, /runs \/app, signed at 2026-01-15T12:00:00.000Z/);
  assert.match(said, /\{"call":"archived","at":1768478400000\} \{"pcr0":"a0a0/);
  assert.match(said, /"2441 bytes to send"/);
  assert.match(said, /^200 "secret"$/m);
  assert.match(said, /"exchange 1, trusted as pinned"/);
  assert.match(said, /"PCR_POLICY_MISMATCH" "nothing was sent"/);
  assert.match(said, /"an event: hello"/);
  assert.match(said, /^200 true$/m);
  assert.equal(said.split("\n").length, 9, said);
});

const path = chromiumPath();

test("the page of the pages says what it found", { skip: path === undefined, timeout: 60_000 }, async () => {
  const [html = ""] = blocks("docs/src/verifying-in-javascript.md", "html");
  const said = await withPage(
    path ?? "",
    async (page) => {
      await page.waitForFunction(() => document.querySelector("p")?.textContent !== "…");
      return page.textContent("p");
    },
    html,
  );
  // The vectors' enclave has its own root, which a page that asks for hardware does not trust.
  assert.equal(said, "Not verified: UnknownRoot");
});

test("the pages of the pages encrypt", { skip: path === undefined, timeout: 240_000 }, async () => {
  const [encrypting = "", registering = ""] = blocks("docs/src/encrypting-in-javascript.md", "html");
  const bytes = `Uint8Array.from(atob("${vector("ok-live").root}"), (character) => character.charCodeAt(0))`;
  const socket: SocketApp = async ({ open, hear, say }) => {
    await open();
    const heard = await hear();
    await say("wsText", heard?.content ?? new Uint8Array());
    await hear();
  };
  const visit = async (html: string) => {
    let said: string | null = null;
    await onPage(
      path ?? "",
      { kem: xwing, socket },
      async (page) => {
        await page.waitForFunction(() => document.querySelector("p")?.textContent !== "…", undefined, {
          timeout: 60_000,
        });
        said = await page.textContent("p");
      },
      html,
    );
    return said ?? "";
  };
  assert.equal(await visit(encrypting.replace("Roots.aws()", `Roots.devRoot(${bytes})`)), "The enclave says secret");
  assert.equal(await visit(encrypting), "Not connected: EVIDENCE_INVALID");
  const withRoot = (html: string) => html.replace("policy:", `devRoot: ${bytes}, policy:`);
  assert.match(await visit(withRoot(registering)), /"path":"\/notes"/);
  const [page = "", worker = ""] = blocks("docs/src/end-to-end-encryption.md", "html");
  const rooted = page
    .replace("policy:", `roots: Roots.devRoot(${bytes}), policy:`)
    .replace("{ connect }", "{ connect, Roots }");
  assert.equal(await visit(rooted), "The app says 200");
  assert.equal(await visit(page), "Not connected: EVIDENCE_INVALID");
  assert.equal(await visit(withRoot(worker)), "The app says 200");
});
