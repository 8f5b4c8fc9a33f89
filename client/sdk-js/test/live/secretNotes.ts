/**
 * `examples/secret-notes` in a real Chromium, as somebody uses it. `tests/system` runs it beside a real enclave:
 *
 *     node build/test/live/secretNotes.js '{"url": …, "root": …, "hashes": …, "pages": …, "pictures": …}'
 *
 * It says `restart` when the enclave is to end and to come back.
 */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import type * as Client from "../../src/client/index.js";
import { chromiumPath } from "../chromium.js";
import { inPackage } from "../files.js";

/** What whoever starts this says. */
interface Told {
  /** The app's origin. */
  readonly url: string;
  /** The development root's file. */
  readonly root: string;
  /** The `trusted_hashes.json` that `caution verify` wrote. */
  readonly hashes: string;
  /** The port of `http://localhost` whose pages the deployment names in its origins. */
  readonly pages: number;
  /** A folder for pictures of the page, where they are wanted. */
  readonly pictures?: string;
}

const told = JSON.parse(process.argv[2] ?? "{}") as Told;
const pinned = JSON.parse(readFileSync(told.hashes, "utf8")) as { pcr0: string; pcr1: string; pcr2: string };
const { pcr0, pcr1, pcr2 } = pinned;
/** What a page's own client is told. */
const given = { url: told.url, root: readFileSync(told.root).toString("base64"), profile: { pcr0, pcr1, pcr2 } };

async function main(): Promise<void> {
  const executablePath = chromiumPath();
  assert(executablePath !== undefined, "there is no Chromium");
  const browser = await chromium.launch({
    executablePath,
    // Chromium's sandbox does not start as root, and only our own pages are visited.
    chromiumSandbox: process.getuid?.() !== 0,
    // Service workers are for origins whose certificate counts, and the local authority is nowhere installed. Not by IPv6.
    args: ["--ignore-certificate-errors", "--host-resolver-rules=MAP *.localhost 127.0.0.1"],
  });
  try {
    const context = await browser.newContext({ viewport: { width: 1080, height: 760 } });
    const page = await context.newPage();
    await step("without trust there is nothing, and without encryption neither", () => nothing(page));
    await step("another image than the pinned one is refused", () => wrongImage(page));
    await step("the image that was verified from source is pinned", () => rightImage(page));
    await step("notes and deletions are seen by another page at once", () => together(context, page));
    await step("what somebody is writing is seen, by WebSocket", () => drafts(context, page));
    await step("a file goes up, and comes back through the service worker", () => files(page));
    await step("events come as they happen", () => events(page));
    await step("a stream outlives its session's replacement", () => rotation(page));
    await step("a page of a named origin asks once for leave, others never get it", () => otherOrigin(context));
    await step("when the enclave starts again, the page says what broke and goes on", () => restart(page));
  } finally {
    await browser.close();
  }
}

async function step(name: string, work: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  const said = await work();
  console.log(`${name}: ${Math.round(performance.now() - began)} ms${typeof said === "string" ? `; ${said}` : ""}`);
}

async function nothing(page: Page): Promise<void> {
  await page.goto(told.url);
  await page.locator("#state[data-is=off]").waitFor();
  assert.match((await page.textContent("#why")) ?? "", /\(EVIDENCE_INVALID\)$/);
  const plain = await page.evaluate(async () => {
    const response = await fetch("/notes", { method: "POST", body: "not a secret" });
    return [response.status, response.headers.get("cache-control"), await response.text()];
  });
  assert.deepEqual(plain, [403, "no-store", '{"error":"e2e_required"}']);
  await picture(page, "refused");
}

async function wrongImage(page: Page): Promise<void> {
  await choose(page, "#root", told.root);
  await page.locator("#state[data-is=dev]").waitFor();
  assert.match((await page.textContent("#state")) ?? "", /never met before \(development root, not hardware\)$/);
  const folder = `${tmpdir()}/secret-notes-${process.pid}`;
  mkdirSync(folder);
  writeFileSync(`${folder}/other.json`, JSON.stringify({ ...pinned, pcr2: "01".repeat(48) }));
  await choose(page, "#pin", `${folder}/other.json`);
  await page.locator("#state[data-is=off]").waitFor();
  assert.match((await page.textContent("#why")) ?? "", /\(PCR_POLICY_MISMATCH\)$/);
}

async function rightImage(page: Page): Promise<void> {
  await choose(page, "#pin", told.hashes);
  await page.locator("#state[data-is=dev]").waitFor();
  assert.equal(
    await page.textContent("#state"),
    "Encrypted into the image you pinned (development root, not hardware)",
  );
  assert.match((await page.textContent("#values")) ?? "", new RegExp(pinned.pcr0));
}

/** Chooses a file, which the page keeps and begins anew with. */
async function choose(page: Page, input: string, file: string): Promise<void> {
  const again = page.waitForEvent("load");
  await page.setInputFiles(input, file);
  await again;
}

async function together(context: BrowserContext, page: Page): Promise<void> {
  const other = await context.newPage();
  await other.goto(told.url);
  await other.locator("#empty:visible").waitFor();
  for (const text of ["The spare key is under the third flower pot.", "Dentist: Thursday, 9:40", "Buy bread"]) {
    await page.fill("#text", text);
    await page.click("#keep");
    await other.locator("#notes li", { hasText: text }).waitFor();
  }
  await other.locator("#notes li", { hasText: "Buy bread" }).getByRole("button").click();
  await page.locator("#notes li", { hasText: "Buy bread" }).waitFor({ state: "detached" });
  await other.close();
  await picture(page, "secret-notes");
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "secret-notes-dark");
  await page.emulateMedia({ colorScheme: "light" });
}

async function drafts(context: BrowserContext, page: Page): Promise<void> {
  const other = await context.newPage();
  await other.goto(told.url);
  // The sockets open when they open: until then nobody is told of a draft.
  for (const one of [page, other]) await one.locator("body[data-drafts=on]").waitFor();
  await other.fill("#text", "Ask Ana");
  const draft = page.locator("#drafts li", { hasText: "Somebody writes: Ask Ana" });
  await draft.waitFor();
  await other.close();
  await draft.waitFor({ state: "detached" });
}

async function files(page: Page): Promise<string> {
  // More than the page collects in memory.
  const buffer = randomBytes(9 << 20);
  const began = performance.now();
  await page.setInputFiles("#file", { name: "größe 1.bin", mimeType: "application/octet-stream", buffer });
  const link = page.locator("#notes a", { hasText: "größe 1.bin (9.0 MiB)" });
  await link.waitFor();
  const up = performance.now() - began;
  await page.evaluate(() => navigator.serviceWorker.ready);
  const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
  assert.equal(download.suggestedFilename(), "größe 1.bin");
  const back = readFileSync((await download.path()) ?? "");
  assert.equal(sha256(back), sha256(buffer));
  // What the page itself fetches goes the same way.
  const list = await page.evaluate(async () => (await fetch("/notes")).json());
  assert.equal(list.length, 3);
  return `9 MiB up in ${Math.round(up)} ms`;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Has a client of a page's own in the page, and what reads its events. */
async function withClient(page: Page): Promise<void> {
  await page.evaluate(async ({ url, root, profile }) => {
    const bundle = "/register.js";
    const { connect, Roots } = (await import(bundle)) as typeof Client;
    const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
    const enclave = await connect(url, { policy: { mode: "pinned", profiles: [profile] }, roots });
    /** Reads until this text has come. */
    const until = async (reader: ReadableStreamDefaultReader<Uint8Array>, text: string) => {
      const decoder = new TextDecoder();
      for (let seen = ""; !seen.includes(text); ) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`the stream ended without ${text}`);
        seen += decoder.decode(value, { stream: true });
      }
    };
    Object.assign(globalThis, { enclave, until });
  }, given);
}

/** What `withClient` has put there. */
interface Put {
  readonly enclave: Client.Enclave;
  until(reader: ReadableStreamDefaultReader<Uint8Array> | undefined, text: string): Promise<void>;
}

async function events(page: Page): Promise<string> {
  await withClient(page);
  const { first, each } = await page.evaluate(async () => {
    const { enclave, until } = globalThis as unknown as Put;
    const asked = performance.now();
    const reader = (await enclave.fetch("/events")).body?.getReader();
    await until(reader, "event: all");
    const first = performance.now() - asked;
    const each: number[] = [];
    for (let number = 1; number <= 20; number += 1) {
      const text = `token ${number};`;
      const began = performance.now();
      const [answer] = await Promise.all([
        enclave.fetch("/notes", { method: "POST", body: text }),
        until(reader, text),
      ]);
      each.push(performance.now() - began);
      const { id } = (await answer.json()) as { id: number };
      await enclave.fetch(`/notes/${id}`, { method: "DELETE" });
    }
    await reader?.cancel();
    return { first, each: each.sort((one, other) => one - other) };
  });
  const ms = (value = Number.NaN) => `${value.toFixed(1)} ms`;
  return `first byte after ${ms(first)}; from a note's request to its event p50 ${ms(each[10])}, slowest ${ms(each.at(-1))}`;
}

async function rotation(page: Page): Promise<void> {
  const replaced = await page.evaluate(async () => {
    const { enclave, until } = globalThis as unknown as Put;
    const reader = (await enclave.fetch("/events")).body?.getReader();
    await until(reader, "event: all");
    const before = await enclave.established();
    // The client thinks that its session has been idle for too long: the enclave's clock, and evidence, know nothing of that.
    const real = performance.now.bind(performance);
    performance.now = () => real() + 600_000;
    const answer = await enclave.fetch("/notes", { method: "POST", body: "in another session" });
    const after = await enclave.established();
    await until(reader, "in another session");
    const { id } = (await answer.json()) as { id: number };
    await enclave.fetch(`/notes/${id}`, { method: "DELETE" });
    await until(reader, `event: gone\ndata: ${id}`);
    await reader?.cancel();
    performance.now = real;
    return before.sessionId !== after.sessionId && before.instance === after.instance;
  });
  assert(replaced, "another session of the same enclave");
}

async function otherOrigin(context: BrowserContext): Promise<string> {
  const server = createServer((request, response) => {
    const isScript = request.url === "/register.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? readFileSync(inPackage("dist/client.min.js")) : "<!doctype html><title>elsewhere</title>");
  });
  await new Promise<void>((resolve) => server.listen(told.pages, "127.0.0.1", resolve));
  try {
    const page = await context.newPage();
    const network = await context.newCDPSession(page);
    await network.send("Network.enable");
    let preflights = 0;
    network.on("Network.requestWillBeSent", ({ request }) => {
      if (request.method === "OPTIONS") preflights += 1;
    });
    await page.goto(`http://localhost:${told.pages}/`);
    await withClient(page);
    const ask = () =>
      page.evaluate(async () => {
        const { enclave } = globalThis as unknown as Put;
        return (await enclave.fetch("/notes", { headers: { "x-own": "1" } })).status;
      });
    assert.equal(await ask(), 200);
    const first = preflights;
    assert(first > 0 && first <= 3, `${first} preflights`);
    for (let more = 0; more < 5; more += 1) assert.equal(await ask(), 200);
    assert.equal(preflights, first);
    // The same server by another name, which is another origin.
    await page.goto(`http://127.0.0.1:${told.pages}/`);
    const refused = await withClient(page).then(
      () => "connected",
      (error: Error) => error.message,
    );
    assert.match(refused, /UNREACHABLE/);
    await page.close();
    return `${first} preflights for connecting and the first request, none for the next`;
  } finally {
    server.close();
  }
}

async function restart(page: Page): Promise<string> {
  await page.goto(told.url);
  await page.locator("#state[data-is=dev]").waitFor();
  const instance = () => page.locator("#values div", { hasText: "This start of the enclave" }).textContent();
  const before = await instance();
  await page.evaluate(() => {
    const state = document.querySelector("#state");
    const said: string[] = [];
    Object.assign(globalThis, { said });
    const note = () => said.push(state?.textContent ?? "");
    new MutationObserver(note).observe(state as Node, { childList: true });
  });
  const began = performance.now();
  console.log("restart");
  await page
    .locator("#values div", { hasText: "This start" })
    .filter({ hasNotText: before ?? "" })
    .waitFor({ state: "attached", timeout: 150_000 });
  const back = performance.now() - began;
  const said = await page.evaluate(() => (globalThis as unknown as { said: readonly string[] }).said);
  // The page may still have been saying that it is connected.
  const broke = said.find((one) => !one.startsWith("Encrypted into the image"));
  assert.match(broke ?? "", /^Interrupted \(STEVE_(TRUNCATED|AMBIGUOUS)\), trying again …$/);
  await page.locator("#empty:visible").waitFor();
  await page.fill("#text", "After the restart");
  await page.click("#keep");
  await page.locator("#notes li", { hasText: "After the restart" }).waitFor();
  const names = [...new Set(said.flatMap((one) => /\((\w+)\), trying/.exec(one)?.[1] ?? []))];
  return `${names.join(", ")}; again there after ${Math.round(back / 1000)} s`;
}

async function picture(page: Page, name: string): Promise<void> {
  if (told.pictures !== undefined) await page.screenshot({ path: `${told.pictures}/${name}.png` });
}

await main();
