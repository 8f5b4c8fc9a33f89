/** What we make of the cases that `cargo xtask agreement-steve` writes, in the words it uses. */

import { toHex } from "../../src/bytes.js";
import { decodeBundle, encodeBundle } from "../../src/steve/bundle.js";
import * as steve from "../../src/steve/whole.js";
import { hex } from "../files.js";

/** A question, and what Rust says to it. Bytes are hex digits. */
export type Case = { readonly expect: string; readonly said: string } & (
  | { readonly of: "bundle" | "key_configs" | "claims" | "sealed_error"; readonly bytes: string }
  | {
      readonly of: "message";
      readonly what: "request" | "response";
      readonly bytes: string;
      readonly pieces: readonly number[];
    }
  | { readonly of: "request"; readonly head: steve.RequestHead & Lines }
  | { readonly of: "response"; readonly head: steve.ResponseHead & Lines }
  | ({ readonly of: "handshake" } & Handshake)
  | ({ readonly of: "records" } & Records)
);

/** Values of fields in hex. */
interface Lines {
  readonly fields: readonly (readonly [string, string])[] & steve.Fields;
}

interface Handshake {
  readonly suite: steve.SuiteName;
  readonly key_id: number;
  readonly public_key: string;
  readonly key_configs_hash: string;
  readonly instance: string;
  readonly authority: string;
  readonly app_context: string;
  readonly max_chunk: number;
  readonly encapsulate: string;
  readonly ephemeral: string;
  readonly random: string;
  readonly server_hello: string;
  readonly keep: boolean;
}

interface Records {
  readonly suite: steve.SuiteName;
  readonly header: string;
  readonly seal: readonly {
    readonly type: number;
    readonly content: string;
    readonly bucket: number;
    readonly last: boolean;
  }[];
  readonly stream: string;
  readonly pieces: readonly number[];
}

/** What was said before a refusal stays said. */
type Say = (words: string) => void;

export class Player {
  readonly #sessions = new Map<string, steve.ClientSession>();

  async say(one: Case): Promise<string> {
    let said = "";
    try {
      await this.#play(one, (words) => {
        said += words;
      });
      return said;
    } catch (error) {
      if (!(error instanceof Error) || !(error.name in NAMES)) return `${said}${String(error)}`;
      return `${said}${error.name}: ${error.message}`;
    }
  }

  async #play(one: Case, say: Say): Promise<void> {
    switch (one.of) {
      case "message":
        return message(one.what, cut(hex(one.bytes), one.pieces), say);
      case "request":
        return say(toHex(new steve.Encoder().request({ ...one.head, fields: fieldsOf(one.head.fields) })));
      case "response":
        return say(toHex(new steve.Encoder().response({ ...one.head, fields: fieldsOf(one.head.fields) })));
      case "handshake":
        return this.#handshake(one, say);
      case "records":
        return this.#records(one, say);
      default:
        return say(await VALUES[one.of](hex(one.bytes)));
    }
  }

  async #handshake(one: Handshake, say: Say): Promise<void> {
    const attested = {
      config: { keyId: one.key_id, suite: one.suite, publicKey: hex(one.public_key) },
      keyConfigsHash: hex(one.key_configs_hash),
      instance: hex(one.instance),
    };
    const random = { encapsulate: hex(one.encapsulate), ephemeral: hex(one.ephemeral), hello: hex(one.random) };
    const context = await steve.contextHash(one.authority, hex(one.app_context));
    const options = { maxChunk: one.max_chunk, random };
    const handshake = await steve.ClientHandshake.start(KEMS[one.suite], attested, context, options);
    say(`${toHex(handshake.hello)} `);
    const session = await handshake.finish(hex(one.server_hello));
    const { maxChunk, concurrency, window } = session.limits;
    const exported = await session.exporter(ascii("label"), ascii("context"));
    say(`${session.suite} ${toHex(session.id)} ${toHex(session.transcriptHash)} `);
    say(`${maxChunk} ${concurrency} ${window} ${session.lifetimeS} ${toHex(exported)}`);
    if (one.keep) this.#sessions.set(one.suite, session);
  }

  async #records(one: Records, say: Say): Promise<void> {
    const session = this.#sessions.get(one.suite);
    const exchange = await session?.exchange();
    if (exchange === undefined || toHex(exchange.header) !== one.header) throw new Error("another exchange");
    for (const { type, content, bucket, last } of one.seal) {
      const kind = (Object.keys(steve.KINDS) as steve.Kind[]).find((kind) => steve.KINDS[kind] === type);
      exchange.sealer.padTo(bucket);
      say(toHex(await exchange.sealer.seal(kind ?? "pad", hex(content), last)));
    }
    say("; ");
    const { opener } = exchange;
    const show = ({ kind, content, last }: steve.OpenedRecord) =>
      say(`${steve.KINDS[kind]} ${toHex(content)} ${last}; `);
    for (const piece of cut(hex(one.stream), one.pieces)) {
      opener.feed(piece);
      for (let record = await opener.next(); record; record = await opener.next()) show(record);
    }
    for (let record = await opener.end(); record; record = await opener.end()) show(record);
  }
}

const VALUES: { readonly [Of in "bundle" | "key_configs" | "claims" | "sealed_error"]: Value } = {
  bundle(bytes) {
    const bundle = decodeBundle(bytes);
    if (bundle === undefined) return "none";
    return [bundle.keyConfigs, bundle.document, encodeBundle(bundle)].map(toHex).join(" ");
  },

  async key_configs(bytes) {
    const configs = steve.decodeKeyConfigs(bytes);
    const shown = configs.map(({ keyId, suite, publicKey }) => `${keyId} ${suite} ${toHex(publicKey)}`);
    const [written, hash] = [steve.encodeKeyConfigs(configs), await steve.keyConfigsHash(bytes)];
    return `${shown.join("; ")} ${toHex(written)} ${toHex(hash)}`;
  },

  claims(bytes) {
    const claims = steve.decodeEpochClaims(bytes);
    if (claims === undefined) return "none";
    const { keyConfigsHash, instance, notBeforeMs, notAfterMs, manifestHash, tlsKeyHash } = claims;
    return [
      ...[keyConfigsHash, instance].map(toHex),
      ...[notBeforeMs, notAfterMs, toHex(manifestHash), tlsKeyHash === null ? "null" : toHex(tlsKeyHash)],
      ...[claims.plaintextFallback, claims.publicAssets, toHex(steve.encodeEpochClaims(claims))],
    ].join(" ");
  },

  sealed_error(bytes) {
    const error = steve.decodeSealedError(bytes);
    return `${error.code} ${error.executed} ${error.retryAfterS} ${toHex(steve.encodeSealedError(error))}`;
  },
};

type Value = (bytes: steve.Bytes) => string | Promise<string>;

/** The parts as they come, content in a row; then all of them written again. */
function message(of: "request" | "response", pieces: Iterable<Uint8Array>, say: Say): void {
  const [decoder, encoder] = [new steve.Decoder(of), new steve.Encoder()];
  let [written, content] = ["", ""];
  const step = (part: steve.Part) => {
    if (part.type === "content") {
      content += toHex(part.content);
      return;
    }
    if (content !== "") {
      say(`content ${content}; `);
      written += toHex(encoder.content(hex(content)));
      content = "";
    }
    if (part.type === "request") {
      const { method, scheme, authority, path, fields } = part.head;
      say(`request ${method} ${scheme} ${authority} ${path} ${lines(fields)}; `);
      written += toHex(encoder.request(part.head));
    } else if (part.type === "response") {
      say(`response ${part.head.status} ${lines(part.head.fields)}; `);
      written += toHex(encoder.response(part.head));
    } else {
      say(`end ${lines(part.trailers)}; `);
      written += toHex(encoder.end(part.trailers));
    }
  };
  for (const piece of pieces) {
    decoder.feed(piece);
    for (let part = decoder.next(); part; part = decoder.next()) step(part);
  }
  decoder.finish();
  say(written);
}

function lines(fields: steve.Fields): string {
  return fields.map(([name, value]) => `${name}=${toHex(value)}`).join(",");
}

function fieldsOf(fields: readonly (readonly [string, string])[]): steve.Fields {
  return fields.map(([name, value]) => [name, hex(value)]);
}

function* cut(bytes: Uint8Array, pieces: readonly number[]): Iterable<Uint8Array> {
  let at = 0;
  for (const length of pieces) {
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const KEMS = { x25519: steve.x25519, xwing: steve.xwing };
/** Every refusal that both sides know. */
const NAMES = Object.fromEntries(
  Object.values(steve.REFUSALS)
    .flat()
    .map((name) => [name, true]),
);
