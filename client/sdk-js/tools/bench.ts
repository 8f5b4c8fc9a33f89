/** How long one full document takes in Chromium: prints the median in milliseconds, for `make bench`. */

import { chromiumPath, withPage } from "../test/chromium.js";
import { type Vector, vector } from "../test/files.js";

const path = chromiumPath();
if (path === undefined) process.exit(1);
const median = await withPage(path, (page) => page.evaluate(inPage, vector("ok-longest-caller-fields")));
console.log(median.toFixed(3));

/** Runs inside the page, so it sees nothing of this file. */
async function inPage({ document, root }: Vector): Promise<number> {
  const bundle = "/verify.min.js";
  const { verifyArchived, Roots } = (await import(bundle)) as typeof import("../src/index.js");
  const bytes = (text: string) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const roots = Roots.devRoot(bytes(root));
  const rounds: number[] = [];
  for (let round = 0; round < 25; round++) {
    const started = performance.now();
    await verifyArchived(bytes(document), { roots });
    rounds.push(performance.now() - started);
  }
  return rounds.sort((a, b) => a - b)[12] ?? Number.NaN;
}
