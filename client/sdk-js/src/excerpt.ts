/** What a refusal shows of a stranger's bytes: short, and in characters that move no cursor. */

import { toHex } from "./bytes.js";

/** Lower-case hex of the first 64 bytes; where there are more, or none at all, with how many there are. */
export function hexExcerpt(bytes: Uint8Array): string {
  if (bytes.length === 0) return "(0 bytes)";
  if (bytes.length <= LIMIT) return toHex(bytes);
  return `${toHex(bytes.subarray(0, LIMIT))}… (${bytes.length} bytes)`;
}

/** The first 64 characters in backticks, those beyond printable ASCII spelt out; `…` where there are more. */
export function textExcerpt(bytes: Uint8Array): string {
  const all = Array.from(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  return `\`${escaped(all.slice(0, LIMIT).join(""))}${all.length > LIMIT ? "…" : ""}\``;
}

/** Text of a stranger, with everything that could move a cursor or hide itself spelt out. */
export function escaped(text: string): string {
  const written: Readonly<Record<string, string>> = { "\t": "\\t", "\r": "\\r", "\n": "\\n" };
  return Array.from(text, (character) => {
    if (/['"\\]/.test(character)) return `\\${character}`;
    if (/[ -~]/.test(character)) return character;
    return written[character] ?? `\\u{${character.codePointAt(0)?.toString(16)}}`;
  }).join("");
}

/** Bytes or characters shown. A common name has at most 64 characters (RFC 5280, `ub-common-name`). */
const LIMIT = 64;
