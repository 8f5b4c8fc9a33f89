/** A page of a host of STEVE in a real Chromium. */

import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { NOON } from "../enclave.js";
import { inPackage } from "../files.js";
import { Host, type HostOptions } from "./host.js";

/** What the page needs of a vector's enclave, to pass into it. */
export interface Given {
  readonly root: string;
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
}

/** Visits a page with the bundles of `dist`, whose clock begins at noon, as the evidence's. */
export async function onPage(
  executablePath: string,
  options: HostOptions,
  visit: (page: Page, host: Host, context: BrowserContext) => Promise<void>,
  html = "<!doctype html><title>client</title>",
): Promise<void> {
  const page = (request: IncomingMessage, response: ServerResponse) => serve(request, response, html);
  const host = await Host.start({ page, ...options });
  // Chromium's sandbox does not start as root, and only our own page is visited.
  const browser = await chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 });
  try {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(host.url);
    await visit(page, host, context);
  } finally {
    await browser.close();
    host.stop();
  }
}

function serve(request: IncomingMessage, response: ServerResponse, html: string): void {
  const path = request.url ?? "";
  if (path === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8").end(html);
    return;
  }
  const script = SCRIPTS[path];
  if (script === undefined) {
    response.writeHead(403, { "Cache-Control": "no-store" }).end('{"error":"e2e_required"}');
    return;
  }
  const clock = `{ const began = Date.now(); const real = Date.now; Date.now = () => ${NOON} + real() - began; }\n`;
  response.setHeader("Content-Type", "text/javascript").end(clock + readFileSync(inPackage(script), "utf8"));
}

const SCRIPTS: Readonly<Record<string, string>> = {
  "/client.min.js": "dist/client.min.js",
  // Where an app has what begins its page.
  "/register.js": "dist/client.min.js",
  "/enclave-sw.js": "dist/enclave-sw.js",
  "/enclave-worker.js": "dist/enclave-worker.js",
};
