/** An enclave that answers any nonce: the one of the vectors, whose keys are published. */

import { createHash, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Certificate } from "../src/certificate.js";
import { unverifiedFields } from "../src/index.js";
import { base64, vector } from "./files.js";

const honest = vector("ok-live");
const fields = unverifiedFields(base64(honest.document));
const MANIFEST_MAP = Buffer.concat([Buffer.of(0xa2, 1, 0x70), Buffer.from("caution-evidence"), Buffer.of(2)]);

/** When its certificates are valid. */
export const NOON = honest.at ?? 0;
/** What it says of itself. */
export const MANIFEST = '{"version": 1, "run": ["/app"]}';
/** Its registers. */
export const PCRS = [0, 1, 2].map((register) => fields.pcrs.get(register) ?? "");

/** Its answer to `POST /attestation`. */
export function answerTo(body: string): string {
  const { nonce } = JSON.parse(body) as { nonce: string };
  const digest = createHash("sha256").update(MANIFEST).digest();
  const userData = Buffer.concat([MANIFEST_MAP, Buffer.of(0x58, 32), digest]);
  const document = documentOf(userData, Buffer.from(nonce, "base64")).toString("base64");
  return `{"document":"${document}", "manifest": ${MANIFEST} }`;
}

/** A document of its security module, signed at noon. */
export function documentOf(userData: Uint8Array, nonce: Uint8Array | null, pcrs: readonly string[] = PCRS): Buffer {
  return signed(payload(nonce, userData, pcrs));
}

export type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** Runs `visit` against a server that answers so. */
export async function serving(answer: Answer, visit: (url: string) => Promise<void>): Promise<void> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => answer(request, response, Buffer.concat(parts).toString()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await visit(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

function payload(nonce: Uint8Array | null, userData: Uint8Array, pcrs: readonly string[]): Buffer {
  const entries: readonly (readonly [string, Buffer])[] = [
    ["module_id", item(3, Buffer.from(fields.moduleId))],
    ["digest", item(3, Buffer.from(fields.digest))],
    ["timestamp", Buffer.concat([Buffer.of(0x1b), bigEndian(fields.timestamp)])],
    [
      "pcrs",
      Buffer.concat([Buffer.of(0xa3), ...pcrs.flatMap((pcr, n) => [Buffer.of(n), item(2, Buffer.from(pcr, "hex"))])]),
    ],
    ["certificate", item(2, fields.certificate)],
    [
      "cabundle",
      Buffer.concat([Buffer.of(0x80 | fields.cabundle.length), ...fields.cabundle.map((der) => item(2, der))]),
    ],
    ["user_data", item(2, userData)],
    ["nonce", nonce === null ? Buffer.of(0xf6) : item(2, nonce)],
  ];
  return Buffer.concat([
    Buffer.of(0xa0 | entries.length),
    ...entries.flatMap(([name, value]) => [item(3, Buffer.from(name)), value]),
  ]);
}

function signed(payload: Buffer): Buffer {
  const head = Buffer.of(0x44, 0xa1, 0x01, 0x38, 0x22);
  const structure = Buffer.concat([
    Buffer.of(0x84),
    item(3, Buffer.from("Signature1")),
    head,
    Buffer.of(0x40),
    item(2, payload),
  ]);
  const signature = sign("sha384", structure, { key: leafKey(), dsaEncoding: "ieee-p1363" });
  return Buffer.concat([Buffer.of(0x84), head, Buffer.of(0xa0), item(2, payload), item(2, signature)]);
}

/** The key of the vectors' leaf; `xtask/src/vectors/scene.rs` makes it from its name. */
function leafKey(): KeyObject {
  const { key } = Certificate.parse(fields.certificate, "leaf").body;
  const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");
  const d = createHash("sha384").update("caution attestation vectors, published key: enclave").digest();
  const [x, y] = [base64url(key.slice(1, 49)), base64url(key.slice(49))];
  return createPrivateKey({ format: "jwk", key: { kty: "EC", crv: "P-384", x, y, d: base64url(d) } });
}

/** A CBOR string of major type 2 or 3. */
function item(major: number, bytes: Uint8Array): Buffer {
  const { length } = bytes;
  const first = major << 5;
  const head =
    length < 24 ? [first | length] : length < 256 ? [first | 24, length] : [first | 25, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), bytes]);
}

function bigEndian(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
