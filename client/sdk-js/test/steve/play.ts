/**
 * Plays the client of a vector, with nothing but what the package exports: gives what differs from the vector.
 *
 * It runs in pages, too, so it imports nothing.
 */

import type * as Steve from "../../src/steve/whole.js";
import type { Direction, SteveVector } from "./vector.js";

export async function play(steve: typeof Steve, vector: SteveVector): Promise<readonly string[]> {
  const differences: string[] = [];
  const same = (what: string, found: unknown, expected: unknown) => {
    if (found !== expected) differences.push(`${what}: ${found}, not ${expected}`);
  };
  const { client } = vector;
  const kem = steve[vector.suite];
  const list = hex(vector.key_configs);
  const [config] = steve.decodeKeyConfigs(list);
  if (config === undefined) return ["there is no key configuration"];
  same("key configurations", toHex(steve.encodeKeyConfigs([config])), vector.key_configs);
  const keyConfigsHash = await steve.keyConfigsHash(list);
  same("their hash", toHex(keyConfigsHash), vector.key_configs_hash);
  const context = await steve.contextHash(client.authority, hex(client.app_context));
  same("context", toHex(context), vector.context_hash);

  const random = {
    encapsulate: hex(client.encapsulate),
    ephemeral: hex(client.ephemeral),
    hello: hex(client.random),
  };
  const attested = { config, keyConfigsHash, instance: hex(vector.server.instance) };
  const options = { maxChunk: client.max_chunk, random };
  const handshake = await steve.ClientHandshake.start(kem, attested, context, options);
  same("hello", toHex(handshake.hello), vector.hello);
  same("what is left of randomness", /[^0]/.exec(Object.values(random).map(toHex).join("")), null);

  const session = await handshake.finish(hex(vector.server_hello));
  same("session", toHex(session.id), vector.server.session);
  same("suite", session.suite, vector.suite);
  same("transcript", toHex(session.transcriptHash), vector.transcript_hash);
  same("lifetime", session.lifetimeS, vector.server.lifetime_s);
  same("longest chunk", session.limits.maxChunk, Math.min(client.max_chunk, vector.server.max_chunk));
  same("concurrency", session.limits.concurrency, vector.server.concurrency);
  same("window", session.limits.window, vector.server.window);
  const { label, context: exported, secret } = vector.exporter;
  same("exporter", toHex(await session.exporter(hex(label), hex(exported))), secret);

  for (const { header, request, response } of vector.exchanges) {
    const exchange = await session.exchange();
    same("header", toHex(exchange.header), header);
    same("request", await sealed(steve, exchange.sealer, request), request.stream);
    await compareOpened(steve, exchange.opener, response, same);
  }
  return differences;
}

/** The records of a direction as a stream, in hex. */
export async function sealed(
  steve: Pick<typeof Steve, "KINDS">,
  sealer: Steve.Sealer,
  direction: Direction,
): Promise<string> {
  let stream = "";
  for (const { type, content, bucket, last } of direction.records) {
    const kind = (Object.keys(steve.KINDS) as Steve.Kind[]).find((one) => steve.KINDS[one] === type);
    sealer.padTo(bucket);
    stream += toHex(await sealer.seal(kind ?? "pad", hex(content), last));
  }
  return stream;
}

/** Opens the stream of a direction, in pieces of 1,000 bytes. */
export async function compareOpened(
  steve: Pick<typeof Steve, "KINDS">,
  opener: Steve.Opener,
  direction: Direction,
  same: (what: string, found: unknown, expected: unknown) => void,
): Promise<void> {
  const records: Steve.OpenedRecord[] = [];
  const stream = hex(direction.stream);
  for (let at = 0; at < stream.length; at += 1000) {
    opener.feed(stream.subarray(at, at + 1000));
    for (let record = await opener.next(); record; record = await opener.next()) records.push(record);
  }
  for (let record = await opener.end(); record; record = await opener.end()) records.push(record);
  const shown = records.map((one) => `${steve.KINDS[one.kind]} ${toHex(one.content)} ${one.last}`);
  const expected = direction.records.map((one) => `${one.type} ${one.content} ${one.last}`);
  same("records", shown.join("\n"), expected.join("\n"));
}

function hex(text: string): Steve.Bytes {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
