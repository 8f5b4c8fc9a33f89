/** The bundle in a real Chromium says every byte that Node says. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chromiumPath, withPage } from "../chromium.js";
import { KEMS, type SteveVector, steveVector } from "./vector.js";

const path = chromiumPath();

test("a client in Chromium says what the vectors say", { skip: path === undefined, timeout: 120_000 }, async () => {
  const all = KEMS.map(steveVector);
  const differences = await withPage(path ?? "", (page) => page.evaluate(inPage, all));
  assert.deepEqual(differences, [[], []]);
});

/** Runs inside the page, so it sees nothing of this file. */
async function inPage(all: readonly SteveVector[]): Promise<readonly (readonly string[])[]> {
  const [bundle, player] = ["/steve.min.js", "/play.js"];
  const steve = (await import(bundle)) as typeof import("../../src/steve/whole.js");
  const { play } = (await import(player)) as typeof import("./play.js");
  const differences: (readonly string[])[] = [];
  for (const vector of all) differences.push(await play(steve, vector));
  return differences;
}
