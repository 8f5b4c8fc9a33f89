/** The bundle in a real Chromium gives every verdict that Node gives. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chromiumPath, withPage } from "./chromium.js";
import { type Vector, vectors } from "./files.js";

const path = chromiumPath();

test(
  "every vector has the outcome it expects in Chromium",
  {
    skip: path === undefined,
    timeout: 120_000,
  },
  async () => {
    const outcomes = await withPage(path ?? "", (page) => page.evaluate(inPage, vectors()));
    const wrong = vectors().filter((vector, index) => outcomes[index] !== vector.expect);
    assert.deepEqual(
      wrong.map((vector) => vector.name),
      [],
    );
    assert.equal(outcomes.length, vectors().length);
  },
);

/** Runs inside the page, so it sees nothing of this file. */
async function inPage(all: readonly Vector[]): Promise<readonly string[]> {
  const bundle = "/verify.min.js";
  const { verify, verifyArchived, Roots } = (await import(bundle)) as typeof import("../src/index.js");
  const bytes = (text: string) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const outcome = async ({ call, at, nonce, max_age_ms: maxAgeMs, ...vector }: Vector): Promise<string> => {
    const { registers, profiles, allow_debug: allowDebug } = vector;
    const expected = { roots: Roots.devRoot(bytes(vector.root)), profiles, registers, allowDebug };
    const document = bytes(vector.document);
    const challenge = nonce === null ? undefined : hex(nonce);
    try {
      if (call === "live") {
        const live = { now: at ?? 0, nonce: challenge ?? hex(""), maxAgeMs: maxAgeMs ?? 0 };
        await verify(document, { ...expected, ...live });
      } else {
        const archived = { ...(at !== null && { at }), ...(challenge && { nonce: challenge }) };
        await verifyArchived(document, { ...expected, ...archived });
      }
      return "ok";
    } catch (error) {
      return (error as Error).name;
    }
  };
  const outcomes: string[] = [];
  for (const vector of all) outcomes.push(await outcome(vector));
  return outcomes;
}
