/** `fetch` into an enclave: what an honest host passes on. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type SteveError } from "../../src/client/index.js";
import type { SuiteName } from "../../src/steve/suite.js";
import { testEach } from "../steve/vector.js";
import { type App, OPTIONS, visiting } from "./host.js";

interface Said {
  readonly method: string;
  readonly path: string;
  readonly content: string;
  readonly fields: Readonly<Record<string, string>>;
}

const json = async (response: Response) => (await response.json()) as Said;

testEach("a request goes into the enclave and its answer comes back, with a receipt", async (kem) => {
  await visiting({ kem }, async (host) => {
    const suite: SuiteName = kem.suite.name;
    const app = await connect(host.url, { ...OPTIONS, suite });
    assert.deepEqual(host.ran, []);
    const response = await app.fetch("/notes?a=1", { method: "POST", body: "sécret", headers: { "X-Ours": "1" } });
    assert.deepEqual([response.status, response.ok, response.url], [200, true, `${host.url}/notes?a=1`]);
    assert.equal(response.headers.get("content-type"), "application/json");
    const said = await json(response);
    assert.deepEqual([said.method, said.path, said.content], ["POST", "/notes?a=1", "sécret"]);
    assert.deepEqual(said.fields, {
      accept: "*/*",
      "accept-encoding": "identity",
      "content-length": "7",
      "content-type": "text/plain;charset=UTF-8",
      "x-ours": "1",
    });
    const receipt = await app.receipt(response);
    assert.deepEqual(
      [receipt.trust, receipt.root, receipt.suite, receipt.exchange?.number],
      ["pinned", "dev", suite, 1],
    );
    const { exchange: _, ...session } = receipt;
    assert.deepEqual(session, await app.established());
    assert.deepEqual(host.came, [
      "GET /.well-known/steve/evidence",
      "POST /.well-known/steve/session",
      "POST /.well-known/steve/x",
    ]);
  });
});

test("bodies of every kind arrive", async () => {
  await visiting({}, async (host) => {
    const { fetch } = await connect(host.url, OPTIONS);
    const send = async (body: BodyInit, init: RequestInit = {}) =>
      json(await fetch("/", { method: "PUT", body, ...init }));
    const stream = () =>
      new ReadableStream({
        start(controller) {
          for (const word of ["some ", "words"]) controller.enqueue(new TextEncoder().encode(word));
          controller.close();
        },
      });
    const bytes = new TextEncoder().encode("bytes");
    const cases: readonly (readonly [BodyInit, string, string | undefined, string | undefined])[] = [
      ["", "", "0", "text/plain;charset=UTF-8"],
      [bytes, "bytes", "5", undefined],
      [bytes.buffer as ArrayBuffer, "bytes", "5", undefined],
      [new Blob(["blob"], { type: "text/x" }), "blob", "4", "text/x"],
      [new URLSearchParams({ a: "b c" }), "a=b+c", "5", "application/x-www-form-urlencoded;charset=UTF-8"],
      [stream(), "some words", undefined, undefined],
      [new Uint8Array(300_000), "300000 bytes", "300000", undefined],
      [new Blob([new Uint8Array(70_000)]), "70000 bytes", "70000", undefined],
    ];
    for (const [body, content, length, type] of cases) {
      const said = await send(body);
      assert.deepEqual(
        [said.content, said.fields["content-length"], said.fields["content-type"]],
        [content, length, type],
      );
    }
    const form = new FormData();
    form.set("name", "value");
    assert.match((await send(form)).content, /name="name"\r\n\r\nvalue/);
    const request = new Request(`${host.url}/r`, { method: "POST", body: "of a Request", headers: { a: "b" } });
    const said = await json(await fetch(request));
    assert.deepEqual([said.path, said.content, said.fields["a"]], ["/r", "of a Request", "b"]);
    assert.equal((await json(await fetch("/", { method: "POST" }))).fields["content-length"], "0");
    assert.equal((await json(await fetch("/"))).fields["content-length"], undefined);
  });
});

test("content of responses comes as it is made, and requests are streamed", async () => {
  let go: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => {
    go = resolve;
  });
  const app: App = async (asked, reply) => {
    await reply.head(200, { "content-type": "text/plain" });
    const pieces = asked.pieces();
    const first = await pieces.next();
    await reply.content(first.value ?? "");
    await reply.pad();
    await gone;
    for await (const piece of pieces) await reply.content(piece);
    await reply.end();
  };
  await visiting({ app }, async (host) => {
    const enclave = await connect(host.url, OPTIONS);
    let more: () => void = () => undefined;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("first"));
        more = () => {
          controller.enqueue(new TextEncoder().encode("second"));
          controller.close();
        };
      },
    });
    const response = await enclave.fetch("/", { method: "POST", body });
    const reader = response.body?.getReader();
    const text = async () => new TextDecoder().decode((await reader?.read())?.value);
    // The request is not at its end, and neither is the answer.
    assert.equal(await text(), "first");
    more();
    go();
    assert.equal(await text(), "second");
    assert.equal((await reader?.read())?.done, true);
    assert.equal((await enclave.receipt(response)).exchange?.number, 1);
  });
});

test("redirects are followed inside the tunnel, and no further", async () => {
  const app: App = async (asked, reply) => {
    const { path, method } = asked.head;
    const content = new TextDecoder().decode(await asked.content());
    const to = path === "/loop" ? path : new URL(path, "https://x").searchParams.get("to");
    const status = Number(new URL(path, "https://x").searchParams.get("status") ?? 302);
    await reply.head(to === null ? 200 : status, to === null ? {} : { location: to });
    await reply.content(`${method} ${path} ${content}`);
    await reply.end();
  };
  await visiting({ app }, async (host) => {
    const { fetch } = await connect(host.url, OPTIONS);
    const post = async (to: string, status: number) => {
      const response = await fetch(`/?status=${status}&to=${to}`, { method: "POST", body: "b" });
      return [await response.text(), response.redirected, response.url];
    };
    assert.deepEqual(await post("/next", 302), ["GET /next ", true, `${host.url}/next`]);
    assert.deepEqual(await post("/next", 307), ["POST /next b", true, `${host.url}/next`]);
    const refused = (to: string, init: RequestInit = {}) =>
      assert.rejects(fetch(`/?to=${to}`, init), { name: "REDIRECT_REFUSED", mayHaveRun: true });
    await refused("https://elsewhere.example/");
    await refused("/next", { redirect: "error" });
    host.ran.length = 0;
    await refused("/loop");
    assert.equal(host.ran.length, 6);
    assert.equal((await fetch("/?to=/next", { redirect: "manual" })).status, 302);
  });
});

test("what is no request of this application is refused before anything is sent", async () => {
  await visiting({}, async (host) => {
    const { fetch } = await connect(host.url, OPTIONS);
    const before = host.came.length;
    const cases: readonly (readonly [RequestInfo | URL, RequestInit])[] = [
      ["https://elsewhere.example/", {}],
      ["http://[", {}],
      ["/", { method: "GET", body: "b" }],
      ["/", { method: "GET", body: new ReadableStream() }],
      ["/", { integrity: "sha256-AAAA" }],
      ["/", { headers: { te: "gzip" } }],
      ["/", { method: "POST", body: new ReadableStream(), headers: { upgrade: "x" } }],
      ["/", { headers: { a: "x".repeat(70_000) } }],
    ];
    for (const [input, init] of cases) {
      const refused = (error: SteveError) => error.name === "INVALID_REQUEST" && !error.mayHaveRun;
      await assert.rejects(fetch(input, init), refused, String(input));
    }
    assert.equal(host.came.length, before);
    await assert.rejects(fetch("/", { signal: AbortSignal.abort(new Error("ours")) }), /ours/);
    assert.equal(host.came.length, before);
  });
});

test("addresses have one form", async () => {
  for (const url of [
    "app.example",
    "http://app.example",
    "ftp://app.example",
    "https://app.example/path",
    "https://app.example/?q",
    "https://user:password@app.example",
  ]) {
    await assert.rejects(connect(url, OPTIONS), (error: SteveError) => {
      return error.name === "ADDRESS_INVALID" && !error.message.includes("password@");
    });
  }
});

test("whoever gives a request up gets their own reason", async () => {
  const app: App = async (_, reply) => {
    await reply.head(200);
    await reply.content("some");
    await new Promise<void>(() => undefined);
  };
  await visiting({ app }, async (host) => {
    const enclave = await connect(host.url, OPTIONS);
    const stop = new AbortController();
    const response = await enclave.fetch("/", { signal: stop.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    stop.abort(new Error("ours"));
    await assert.rejects(reader?.read() ?? Promise.resolve(), /ours/);
    await assert.rejects(enclave.receipt(response), /ours/);
    const left = await enclave.fetch("/");
    await left.body?.cancel();
    await assert.rejects(enclave.receipt(left), { name: "AbortError" });
    await assert.rejects(enclave.receipt(new Response()), TypeError);
  });
});

test("sessions are renewed between requests, and what runs goes on in its own", async () => {
  const waiting: (() => void)[] = [];
  const app: App = async (asked, reply) => {
    await reply.head(200);
    await reply.content("begun");
    if (asked.head.path === "/long") await new Promise<void>((resolve) => waiting.push(resolve));
    await reply.content(" and ended");
    await reply.end();
  };
  await visiting({ app, lifetimeS: 100 }, async (host, clock) => {
    const enclave = await connect(host.url, OPTIONS);
    const long = await enclave.fetch("/long");
    await (await enclave.fetch("/")).text();
    assert.equal(host.handshakes, 1);
    clock.now += 95_000;
    const next = await enclave.fetch("/");
    await next.text();
    assert.equal(host.handshakes, 2);
    waiting[0]?.();
    assert.equal(await long.text(), "begun and ended");
    const [before, after] = [await enclave.receipt(long), await enclave.receipt(next)];
    assert.notEqual(before.sessionId, after.sessionId);
    // Where no other can be made, the session goes on to its end and not past it.
    host.meddle = ({ path }) => (path === "evidence" ? { status: 503 } : undefined);
    clock.now += 95_000;
    await (await enclave.fetch("/")).text();
    clock.now += 6_000;
    await assert.rejects(enclave.fetch("/"), { name: "UNREACHABLE", mayHaveRun: false });
    host.meddle = undefined;
  });
});
