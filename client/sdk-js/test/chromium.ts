/** A page in a real Chromium, beside the bundles of `dist`. */

import { existsSync, readFileSync } from "node:fs";
import { chromium, type Page } from "playwright-core";
import { type Answer, answerTo, serving } from "./enclave.js";
import { inPackage } from "./files.js";

/** Where Debian and others install it; `CHROMIUM` names another one. */
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser's path; `undefined`, loudly, when there is none. */
export function chromiumPath(): string | undefined {
  const found = [process.env["CHROMIUM"] ?? "", ...PLACES].find((path) => existsSync(path));
  if (found === undefined) console.log("SKIPPED: NO CHROMIUM (apt-get install chromium); NO BROWSER WAS TESTED");
  return found;
}

/** Visits a page of our own, beside an enclave. WebCrypto is there in secure contexts alone, which 127.0.0.1 is. */
export async function withPage<T>(
  executablePath: string,
  visit: (page: Page) => Promise<T>,
  html = "<!doctype html><title>verify</title>",
): Promise<T> {
  const answers: Readonly<Record<string, (body: string) => readonly [string, string | Buffer]>> = {
    "/": () => ["text/html; charset=utf-8", html],
    "/verify.min.js": () => ["text/javascript", readFileSync(inPackage("dist/verify.min.js"))],
    "/steve.min.js": () => ["text/javascript", readFileSync(inPackage("dist/steve.min.js"))],
    "/play.js": () => ["text/javascript", readFileSync(inPackage("build/test/steve/play.js"))],
    "/attestation": (body) => ["application/json", answerTo(body)],
  };
  let result: T | undefined;
  const answer: Answer = (request, response, body) => {
    const [type, content] = answers[request.url ?? ""]?.(body) ?? ["text/plain", ""];
    response.setHeader("Content-Type", type).end(content);
  };
  await serving(answer, async (url) => {
    // Chromium's sandbox does not start as root, and only our own page is visited.
    const browser = await chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 });
    try {
      const page = await browser.newPage();
      await page.goto(url);
      result = await visit(page);
    } finally {
      await browser.close();
    }
  });
  return result as T;
}
