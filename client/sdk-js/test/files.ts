/** Where the tests' files are. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Bytes } from "../src/bytes.js";
import { type Archived, type Expected, Roots, type Verified, verify, verifyArchived } from "../src/index.js";

/** The package, seen from `build/test`. */
const PACKAGE = new URL("../../", import.meta.url);
/** The checkout. */
const CHECKOUT = new URL("../../", PACKAGE);

export function inPackage(path: string): string {
  return fileURLToPath(new URL(path, PACKAGE));
}

export function inCheckout(path: string): string {
  return fileURLToPath(new URL(path, CHECKOUT));
}

/** A vector of `specs/vectors/attest`; `specs/attestation.md` describes it. */
export interface Vector {
  readonly name: string;
  readonly expect: string;
  readonly call: "live" | "archived";
  readonly at: number | null;
  readonly nonce: string | null;
  readonly max_age_ms: number | null;
  readonly allow_debug: boolean;
  readonly profiles: readonly { readonly pcr0: string; readonly pcr1: string; readonly pcr2: string }[];
  readonly registers: Readonly<Record<number, string>>;
  readonly root: string;
  readonly document: string;
}

export function vectors(): readonly Vector[] {
  const folder = inCheckout("specs/vectors/attest");
  return readdirSync(folder).map((file) => JSON.parse(readFileSync(`${folder}/${file}`, "utf8")) as Vector);
}

export function vector(name: string): Vector {
  const found = vectors().find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no vector ${name}`);
  return found;
}

/** What a vector expects of a document. */
export function expectedOf(vector: Vector): Expected {
  const { profiles, registers, allow_debug: allowDebug } = vector;
  return { roots: Roots.devRoot(base64(vector.root)), profiles, registers, allowDebug };
}

/** What a vector asks of an archived document. */
export function archivedOf(vector: Vector): Archived {
  return {
    ...expectedOf(vector),
    ...(vector.at !== null && { at: vector.at }),
    ...(vector.nonce !== null && { nonce: hex(vector.nonce) }),
  };
}

/** The answer to a vector's question. */
export async function verdictOf(vector: Vector): Promise<Verified> {
  const document = base64(vector.document);
  const { at, nonce, max_age_ms: maxAgeMs } = vector;
  if (vector.call === "archived") return verifyArchived(document, archivedOf(vector));
  if (at === null || nonce === null || maxAgeMs === null) throw new Error("a live question has no gaps");
  return verify(document, { ...expectedOf(vector), now: at, nonce: hex(nonce), maxAgeMs });
}

/**
 * The folder of outside vectors (`CAUTION_VECTORS`, or `../shared/vectors` beside the checkout);
 * `undefined`, loudly, when there is none.
 */
export function outsideVectors(): string | undefined {
  const folder = process.env["CAUTION_VECTORS"] ?? inCheckout("../shared/vectors");
  if (existsSync(`${folder}/nitro/index.json`)) return folder;
  console.log(`SKIPPED: NO OUTSIDE VECTORS IN ${folder} (set CAUTION_VECTORS); REAL DOCUMENTS WERE NOT TESTED`);
  return undefined;
}

export function base64(text: string): Bytes {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

export function hex(text: string): Bytes {
  return Uint8Array.from(Buffer.from(text, "hex"));
}

export function bytesOf(path: string): Bytes {
  return Uint8Array.from(readFileSync(path));
}
