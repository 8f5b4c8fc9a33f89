/**
 * STEVE, version 3, the client's side: requests that only an attested enclave can read, as bytes.
 *
 *     evidence ──verified elsewhere──▶ AttestedKey ─▶ ClientHandshake ──hello──▶ enclave
 *                                            ClientSession ◀──server hello──
 *                              exchange(): header, Sealer, Opener ◀──records──▶
 *
 * Nothing here speaks HTTP: `specs/steve.md` is the protocol.
 */

export type { Bytes } from "../bytes.js";
export { RATCHET_INTERVAL } from "./block.js";
export { decodeEpochClaims, type EpochClaims, encodeEpochClaims } from "./claims.js";
export { decodeKeyConfigs, encodeKeyConfigs, type KeyConfig, keyConfigsHash } from "./config.js";
export {
  HandshakeError,
  type HandshakeValues,
  KeyConfigError,
  type KeyConfigValues,
  MAX_FIELDS,
  MAX_HEAD,
  MAX_KEY_CONFIGS,
  MessageError,
  type MessageValues,
  REFUSALS,
  RecordError,
  type RecordValues,
} from "./error.js";
export { decodeSealedError, encodeSealedError, SEALED_CODES, type SealedCode, type SealedError } from "./fault.js";
export { type AttestedKey, ClientHandshake, type ClientRandom, contextHash, type HelloOptions } from "./handshake.js";
export { Decoder } from "./http/decode.js";
export { Encoder } from "./http/encode.js";
export type { Fields, Part, RequestHead, ResponseHead } from "./http/message.js";
export type { Opener } from "./opener.js";
export { PlatformError } from "./platform.js";
export { KINDS, type Kind, type OpenedRecord } from "./record.js";
export type { Sealer } from "./sealer.js";
export type { ClientSession, Exchange, Limits } from "./session.js";
export type { Kem, Suite, SuiteName } from "./suite.js";
export { x25519 } from "./x25519.js";
