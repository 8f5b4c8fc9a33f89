/** `EnclaveEventSource`, in Node. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { EventStream, type StreamEvent } from "../../src/client/eventStream.js";
import { connect, type EnclaveErrorEvent, EnclaveEventSource, SteveError } from "../../src/client/index.js";
import { pieces, random } from "../steve/random.js";
import { type App, OPTIONS, visiting } from "./host.js";

const bytes = (text: string) => new TextEncoder().encode(text);

test("event streams are read as the standard says, in any pieces", () => {
  const text =
    "\uFEFF: a comment\ndata: one\n\ndata:two\r\ndata:  lines\r\n\r\nevent: named\rid: 7\rdata\r\rid: a\0b\ndata: é\n\n" +
    "event: nothing\n\nretry: 12\nretry: x\nid\ndata: last\n\ndata: without an end\n";
  const expected: readonly StreamEvent[] = [
    { type: "message", data: "one", lastEventId: "" },
    { type: "message", data: "two\n lines", lastEventId: "" },
    { type: "named", data: "", lastEventId: "7" },
    { type: "message", data: "é", lastEventId: "7" },
    { type: "message", data: "last", lastEventId: "" },
  ];
  const next = random(1);
  for (let round = 0; round < 50; round++) {
    const stream = new EventStream();
    const cut = round === 0 ? [...bytes(text)].map((byte) => Uint8Array.of(byte)) : pieces(bytes(text), next);
    assert.deepEqual(
      cut.flatMap((piece) => [...stream.feed(piece)]),
      expected,
    );
    assert.equal(stream.retryMs, 12);
  }
  const endless = new EventStream();
  const mebibyte = bytes("a".repeat(1 << 20));
  assert.throws(() => {
    for (let count = 0; count < 17; count++) for (const _ of endless.feed(mebibyte)) assert.fail();
  }, RangeError);
});

test("an event source goes on where its stream was cut, and ends where nobody is to be trusted", async () => {
  const asked: (string | undefined)[] = [];
  const app: App = async (request, reply) => {
    asked.push(request.fields["last-event-id"]);
    await reply.head(200, { "content-type": "text/event-stream; charset=utf-8" });
    await reply.content(`retry: 1\nid: ${asked.length}\ndata: event ${asked.length}\n\n`);
    if (asked.length < 2) return;
    await reply.content("event: bye\ndata: x\n\n");
    await reply.end();
  };
  await visiting({ app }, async (host) => {
    const source = new EnclaveEventSource(await connect(host.url, OPTIONS), "/events");
    const data: unknown[] = [];
    const errors: unknown[] = [];
    source.onmessage = (event) => data.push([event.data, event.lastEventId]);
    source.onerror = ({ error }) => errors.push(error instanceof SteveError ? error.name : error);
    await once(source, "bye");
    source.close();
    assert.deepEqual(data, [
      ["event 1", "1"],
      ["event 2", "2"],
    ]);
    assert.deepEqual([asked, errors], [[undefined, "1"], ["STEVE_TRUNCATED"]]);
    assert.equal(source.readyState, EnclaveEventSource.CLOSED);
  });
  await visiting({}, async (host) => {
    const enclave = await connect(host.url, OPTIONS);
    const ends = async (wanted: RegExp) => {
      const source = new EnclaveEventSource(enclave, "/");
      const [event] = (await once(source, "error")) as [EnclaveErrorEvent];
      assert.match(String(event.error), wanted);
      assert.equal(source.readyState, EnclaveEventSource.CLOSED);
    };
    await ends(/answered 200 with the type `application\/json`, no event stream/);
    // Another program is there now.
    host.forgetSessions();
    await assert.rejects(enclave.fetch("/"), { name: "STEVE_AMBIGUOUS" });
    host.pcrs = [...host.pcrs].reverse();
    await ends(/^PCR_POLICY_MISMATCH/);
  });
});
