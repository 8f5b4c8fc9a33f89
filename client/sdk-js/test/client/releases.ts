/** Signed releases, for tests. */

import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { NOON } from "../enclave.js";
import { PROFILE } from "./host.js";

/** Three keys that sign releases. */
const KEYS = [0, 1, 2].map(() => generateKeyPairSync("ec", { namedCurve: "P-384" }));
/** Their public halves. */
export const PEMS = KEYS.map(({ publicKey }) => publicKey.export({ type: "spki", format: "pem" }).toString());

/** A release of what runs, signed by these keys; `change` says otherwise. */
export function signed(keys: readonly KeyObject[], change: object = {}, text?: string) {
  const profiles = [PROFILE];
  const file = {
    schema: "caution.app-release/1",
    app: "notes",
    version: 2,
    not_after_ms: NOON + 1,
    profiles,
    ...change,
  };
  const release = new TextEncoder().encode(text ?? JSON.stringify(file));
  return { release, signatures: keys.map((key) => new Uint8Array(sign("sha384", release, key))) };
}

export const [one, two] = KEYS.map(({ privateKey }) => privateKey) as [KeyObject, KeyObject];
