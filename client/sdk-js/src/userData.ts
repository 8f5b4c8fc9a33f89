/** The map inside a document's `user_data`, and the manifest it binds. */

import { concat, equal, sha256, toHex } from "./bytes.js";
import type { Verified } from "./verified.js";

/** Why a manifest does not belong to a document. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
}

/**
 * Insists that the enclave vouches for this manifest: that `user_data` is EnclaveOS' map
 * `{1: "caution-evidence", 2: SHA-256 of the manifest}`. Nothing a caller or the app chooses enters
 * that map, so such a document was asked for by EnclaveOS itself.
 *
 * `manifest` is its text exactly as it was sent along, `null` when none was; then the enclave must
 * vouch that it has none. Rejects with a `ManifestError`.
 */
export async function bindManifest(verified: Verified, manifest: string | null): Promise<void> {
  const bound = manifestDigest(verified.userData);
  if (bound === undefined) {
    throw new ManifestError("the document was not made by EnclaveOS: its user_data has another form");
  }
  const received = manifest === null ? null : await sha256(new TextEncoder().encode(manifest));
  if (bound === received) return;
  throw new ManifestError(
    received === null
      ? "the enclave vouches for a manifest, but none was sent"
      : "the manifest that was sent is not the one the enclave vouches for",
  );
}

/** The digest in EnclaveOS' map, `null` when it says that there is no manifest. */
function manifestDigest(userData: Uint8Array | null): string | null | undefined {
  if (userData === null) return undefined;
  // The form is deterministic: only two are possible.
  if (equal(userData, concat(MAP, Uint8Array.of(0xf6)))) return null;
  const digest = userData.slice(-32);
  const isMap = equal(userData, concat(MAP, Uint8Array.of(0x58, 32), digest)) && digest.length === 32;
  return isMap ? toHex(digest) : undefined;
}

/** `{1: "caution-evidence", 2:` in deterministic CBOR. */
const MAP = concat(Uint8Array.of(0xa2, 0x01, 0x70), new TextEncoder().encode("caution-evidence"), Uint8Array.of(0x02));
