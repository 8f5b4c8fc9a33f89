/** A strict verifier of Nitro attestation documents: document and policy in, `Verified` or a named refusal out. */

export { type Attested, type AttestOptions, attest, FetchError } from "./attest.js";
export type { CertificateSummary } from "./certificate.js";
export {
  AttestationError,
  type Blame,
  type Mismatch,
  type Position,
  REFUSAL_NAMES,
  type RefusalName,
  type RefusalValues,
} from "./error.js";
export type { UnverifiedFields } from "./evidence.js";
export type { Archived, Expected, ImagePcrs, Live } from "./policy.js";
export { RootError, type RootKind, Roots } from "./roots.js";
export { bindManifest, ManifestError } from "./userData.js";
export type { Checked, Measurements, Verified } from "./verified.js";
export { unverifiedFields, verify, verifyArchived } from "./verify.js";
