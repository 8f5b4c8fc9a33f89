/**
 * Records: chunks in the framing of chunked OHTTP (draft-ietf-ohai-chunked-ohttp), each with a type and padding
 * inside, as in TLS 1.3.
 *
 *     stream = { varint(length > 0) || sealed }*  varint(0) || sealed      the last one to the end of the stream
 *     sealed = AES-256-GCM(key, iv XOR counter, AAD "" or "final", content || type || 00*)
 */

import type { Bytes } from "../bytes.js";

/** What a record is, with its byte on the wire. */
export const KINDS = {
  /** Bytes of a message (binary HTTP). */
  data: 0x01,
  /** Nothing: keeps the connection alive. Its content is ignored. */
  pad: 0x02,
  /** A `SealedError`; nothing follows. */
  error: 0x03,
  /** The sender gives up. */
  reset: 0x04,
  /** A WebSocket text message, or the end of one. */
  wsText: 0x10,
  /** A part of one with more to come. */
  wsTextMore: 0x90,
  /** A binary one. */
  wsBinary: 0x11,
  wsBinaryMore: 0x91,
  /** Closes the WebSocket: a code, 2 bytes big-endian, and a reason. */
  wsClose: 0x12,
  ping: 0x13,
  pong: 0x14,
  /** Opens a WebSocket: its request as binary HTTP. */
  wsOpen: 0x15,
} as const;

export type Kind = keyof typeof KINDS;

/** The kind with this byte; nothing where it is none's. */
export function kindOf(byte: number): Kind | undefined {
  return (Object.keys(KINDS) as Kind[]).find((kind) => KINDS[kind] === byte);
}

/** A record that authenticates. */
export interface OpenedRecord {
  readonly kind: Kind;
  /** Without padding. */
  readonly content: Bytes;
  /** Nothing follows. */
  readonly last: boolean;
}
