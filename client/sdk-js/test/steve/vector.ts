/** The sessions of `specs/vectors/steve`. */

import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Kem, SuiteName } from "../../src/steve/suite.js";
import { x25519 } from "../../src/steve/x25519.js";
import { xwing } from "../../src/steve/xwing.js";
import { inCheckout } from "../files.js";

/** Bytes are hex digits. */
export interface SteveVector {
  readonly suite: SuiteName;
  readonly server: {
    readonly seed: string;
    readonly key_id: number;
    readonly instance: string;
    readonly encapsulate: string;
    readonly session: string;
    readonly random: string;
    readonly lifetime_s: number;
    readonly max_chunk: number;
    readonly concurrency: number;
    readonly window: number;
  };
  readonly client: {
    readonly encapsulate: string;
    readonly ephemeral: string;
    readonly random: string;
    readonly authority: string;
    readonly app_context: string;
    readonly max_chunk: number;
  };
  readonly key_configs: string;
  readonly key_configs_hash: string;
  readonly epoch_claims: string;
  readonly claims: {
    readonly not_before_ms: number;
    readonly not_after_ms: number;
    readonly manifest_hash: string;
    readonly flags: number;
  };
  readonly context_hash: string;
  readonly hello: string;
  readonly server_hello: string;
  readonly transcript_hash: string;
  readonly exporter: { readonly label: string; readonly context: string; readonly secret: string };
  readonly exchanges: readonly {
    readonly header: string;
    readonly request: Direction;
    readonly response: Direction;
  }[];
}

export interface Direction {
  readonly records: readonly {
    readonly type: number;
    readonly content: string;
    readonly bucket: number;
    readonly last: boolean;
  }[];
  readonly stream: string;
}

export const KEMS: readonly Kem[] = [x25519, xwing];

export function steveVector({ suite }: Kem): SteveVector {
  return JSON.parse(readFileSync(inCheckout(`specs/vectors/steve/${suite.name}.json`), "utf8")) as SteveVector;
}

/** A test that each suite has to pass. */
export function testEach(what: string, body: (kem: Kem) => Promise<void> | void): void {
  test(what, async (t) => {
    for (const kem of KEMS) await t.test(kem.suite.name, () => body(kem));
  });
}
