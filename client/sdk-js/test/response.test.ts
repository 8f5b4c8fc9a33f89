/** The manifest's text is found byte for byte. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { readResponse } from "../src/response.js";

test("the manifest is the text that stands in the answer", () => {
  for (const [text, manifest] of [
    ['{"document":"AA==","manifest":{"b":1,"a":[1.0,"}\\"]:,"]}}', '{"b":1,"a":[1.0,"}\\"]:,"]}'],
    ['{ "manifest" :\n {"a": {} } , "document" : "AA==" }', '{"a": {} }'],
    ['{"d\\u006fcument":"AA==","x":[{"manifest":1}],"manifest":"\\u0061"}', '"\\u0061"'],
    ['{"document":"AA==","manifest":null}', null],
    ['{"attestation_document":"AA=="}', null],
    ['{"document":"AA==","x":"\\\\","manifest":-1e5}', "-1e5"],
  ] as const) {
    assert.deepEqual(readResponse(text), { document: "AA==", manifest }, text);
  }
});

test("what is no answer is refused", () => {
  for (const text of [
    "",
    "null",
    '"document"',
    "[]",
    '["document", "AA=="]',
    "{}",
    '{"document":1}',
    '{"document":"AA=="}x',
    '{"document":"AA==","document":"AAAA"}',
    '{"document":"AA==","attestation_document":"AAAA"}',
    '{"document":"AA==","manifest":{},"manifest":{}}',
    '{"document":"AA==",}',
    '\ufeff{"document":"AA=="}',
    '[{"document":"AA=="}]',
  ]) {
    assert.equal(readResponse(text), undefined, text);
  }
});

test("long and deep answers are read", () => {
  const long = `{"document":"AA==","manifest":"${'x\\"'.repeat(300_000)}"}`;
  assert.equal(readResponse(long)?.manifest?.length, 900_002);
  const deep = `${"[".repeat(5000)}${"]".repeat(5000)}`;
  assert.equal(readResponse(`{"document":"AA==","manifest":${deep}}`)?.manifest, deep);
});
