/** Binary HTTP in its one form, as in Rust's `core/steve/src/http/tests.rs`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, concat } from "../../src/bytes.js";
import { checkRequest, checkResponse } from "../../src/steve/http/message.js";
import {
  Decoder,
  Encoder,
  type Fields,
  MAX_HEAD,
  MessageError,
  type Part,
  type RequestHead,
} from "../../src/steve/whole.js";
import { pieces, random } from "./random.js";

const bytes = (text: string): Bytes => new TextEncoder().encode(text) as Bytes;

function head(...fields: readonly (readonly [string, string])[]): RequestHead {
  return {
    method: "POST",
    scheme: "https",
    authority: "app.example",
    path: "/notes?all",
    fields: fields.map(([name, value]) => [name, bytes(value)] as const),
  };
}

function encoded(request: RequestHead, content: readonly string[], trailers: Fields = []): Bytes {
  const encoder = new Encoder();
  return concat(
    encoder.request(request),
    ...content.map((piece) => encoder.content(bytes(piece))),
    encoder.end(trailers),
  );
}

/** The parts of a message that comes in pieces; content in one. */
function decoded(of: "request" | "response", all: readonly Uint8Array[]): readonly Part[] {
  const decoder = new Decoder(of);
  const parts: Part[] = [];
  for (const piece of all) {
    decoder.feed(piece);
    for (let part = decoder.next(); part; part = decoder.next()) {
      const before = parts.at(-1);
      if (before?.type === "content" && part.type === "content") {
        parts[parts.length - 1] = { type: "content", content: concat(before.content, part.content) };
      } else parts.push(part);
    }
  }
  decoder.finish();
  return parts;
}

function inPieces(whole: Uint8Array, size: number): readonly Uint8Array[] {
  return Array.from({ length: Math.ceil(whole.length / size) }, (_, at) => whole.subarray(at * size, (at + 1) * size));
}

function outcome(of: "request" | "response", all: readonly Uint8Array[]): readonly Part[] | string {
  try {
    return decoded(of, all);
  } catch (error) {
    if (error instanceof MessageError) return error.message;
    throw error;
  }
}

test("requests pass in any pieces", () => {
  const request = head(["accept", "a"], ["accept", "b"], ["content-length", "8"]);
  const trailers: Fields = [["sum", bytes("x")]];
  const whole = encoded(request, ["some", "", "more"], trailers);
  const expected = [
    { type: "request", head: request },
    { type: "content", content: bytes("somemore") },
    { type: "end", trailers },
  ];
  for (let size = 1; size <= whole.length; size++) {
    assert.deepEqual(decoded("request", inPieces(whole, size)), expected, `pieces of ${size}`);
  }
});

test("responses pass with those before them", () => {
  const encoder = new Encoder();
  const early = { status: 103, fields: [["link", bytes("</a>")]] as Fields };
  const final = { status: 200, fields: [] };
  const whole = concat(encoder.response(early), encoder.response(final), encoder.content(bytes("hi")), encoder.end());
  const expected = [
    { type: "response", head: early },
    { type: "response", head: final },
    { type: "content", content: bytes("hi") },
    { type: "end", trailers: [] },
  ];
  for (let size = 1; size <= whole.length; size++) {
    assert.deepEqual(decoded("response", inPieces(whole, size)), expected);
  }
  assert.throws(() => decoded("request", [whole]), { name: "Framing", values: { found: 3 } });
});

test("a message cut anywhere is cut", () => {
  const whole = encoded(head(["a", "b"]), ["content"]);
  for (let cut = 0; cut < whole.length; cut++) {
    assert.throws(() => decoded("request", inPieces(whole.subarray(0, cut), 4)), { name: "Truncated" });
  }
  assert.throws(() => decoded("request", inPieces(Uint8Array.of(...whole, 0), 4)), { name: "AfterEnd" });
});

test("the example of the standard is written byte by byte", () => {
  // RFC 9292, section 5.1: the indeterminate-length request, without its padding, as https asks it.
  const fields: Fields = [["user-agent", bytes("curl/7.16.3")]];
  const request = { method: "GET", scheme: "https", authority: "www.example.com", path: "/hello.txt", fields };
  const expected = "\x02\x03GET\x05https\x0fwww.example.com\x0a/hello.txt\x0auser-agent\x0bcurl/7.16.3\0\0\0";
  assert.deepEqual(encoded(request, []), bytes(expected));
});

test("what would smuggle is refused by name", () => {
  const field = (name: string, value: string) => () => checkRequest(head([name, value]));
  for (const name of ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]) {
    assert.throws(field(name, "x"), { name: "ConnectionField", values: { field: name } });
  }
  assert.throws(field("te", "gzip"), { name: "ConnectionField", values: { field: "te" } });
  assert.doesNotThrow(field("te", "Trailers"));
  for (const name of ["", ":path", "a b", "Upper", "a:", "é", "a\r\nb", "a\n"]) {
    assert.throws(field(name, "x"), { name: "FieldName" }, name);
  }
  for (const value of ["a\r\nb: c", "a\nb", "a\0b", " a", "a\t", "\u007f"]) {
    assert.throws(field("a", value), { name: "FieldValue", values: { field: "a" } }, value);
  }
  assert.doesNotThrow(field("a", "t\tab"));
  for (const value of ["", "+1", "-1", "1,1", "0x10", "1\u0661", "99999999999999999999", "18446744073709551616"]) {
    assert.throws(field("content-length", value), { name: "ContentLength" }, value);
  }
  assert.equal(checkRequest(head(["content-length", "18446744073709551615"])), (1n << 64n) - 1n);
  assert.throws(() => checkRequest(head(["content-length", "1"], ["content-length", "1"])), { name: "ContentLength" });

  const control = (change: Partial<RequestHead>, what: string) => {
    assert.throws(() => checkRequest({ ...head(), ...change }), { name: "Control", values: { what } });
  };
  control({ method: "G T" }, "method");
  control({ method: "" }, "method");
  control({ scheme: "http" }, "scheme");
  control({ authority: "user@app" }, "authority");
  control({ authority: "" }, "authority");
  control({ authority: "app\n" }, "authority");
  for (const path of ["", "notes", "*", "/a b", "/a#b", "/\r\n", "/é", "http://app/"]) control({ path }, "path");
  assert.doesNotThrow(() => checkRequest({ ...head(), method: "OPTIONS", path: "*" }));
  for (const found of [99, 600, 200.5, Number.NaN]) {
    assert.throws(() => checkResponse({ status: found, fields: [] }), { name: "Status", values: { found } });
  }
});

test("content has the length that its request says", () => {
  const exact = head(["content-length", "4"]);
  assert.equal(decoded("request", [encoded(exact, ["four"])]).length, 3);
  for (const content of ["thr", "fives", ""]) {
    assert.throws(() => decoded("request", [encoded(exact, [content])]), { name: "ContentLength" }, content);
  }
});

test("heads are bounded", () => {
  const encoder = new Encoder();
  assert.throws(() => encoder.request(head(["a", "v".repeat(MAX_HEAD)])), { name: "HeadTooLong" });
  // Nothing was written, so another head may be.
  assert.doesNotThrow(() => encoder.request(head()));
  const many = Array.from({ length: 257 }, () => ["a", "b"] as const);
  assert.throws(() => checkRequest(head(...many)), { name: "TooManyFields" });
  assert.throws(() => encoder.end([["Upper", bytes("")]]), { name: "FieldName" });

  // A head that never ends, however it comes.
  const start = "\x02\x03GET\x05https\x01a\x01/";
  const endless = bytes(start + `\x01a\x3f${"v".repeat(63)}`.repeat(1000)).subarray(0, MAX_HEAD);
  assert.throws(() => decoded("request", inPieces(endless, 1000)), { name: "TooManyFields" });
  const long = concat(bytes(`${start}\x01a`), Uint8Array.of(0x80, 1, 0, 0), new Uint8Array(MAX_HEAD).fill(0x76));
  assert.throws(() => decoded("request", inPieces(long, 1000)), { name: "HeadTooLong" });
});

test("parts out of their order are the caller's mistake", () => {
  const encoder = new Encoder();
  assert.throws(() => encoder.content(bytes("x")), TypeError);
  assert.throws(() => encoder.end(), TypeError);
  encoder.request(head());
  assert.throws(() => encoder.request(head()), TypeError);
  assert.throws(() => encoder.response({ status: 200, fields: [] }), TypeError);
  encoder.end();
  assert.throws(() => encoder.content(bytes("x")), TypeError);
});

test("any bytes are read or refused, the same in any pieces", () => {
  const next = random(3);
  const whole = encoded(head(["a", "b"], ["content-length", "7"]), ["con", "tent"], [["sum", bytes("x")]]);
  for (let round = 0; round < 3000; round++) {
    // A message with some bytes changed, so that what comes late is reached, too.
    const changed = whole.slice(0, next(4) === 0 ? next(whole.length) : whole.length);
    for (let changes = next(3); changes > 0; changes--) changed[next(whole.length)] = next(256);
    assert.deepEqual(outcome("request", pieces(changed, next)), outcome("request", [changed]));
    const noise = Uint8Array.from({ length: next(300) }, () => next(256));
    assert.deepEqual(outcome("response", pieces(noise, next)), outcome("response", [noise]));
  }
});
