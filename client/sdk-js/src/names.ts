/** Object identifiers and distinguished names, as certificates hold them and as refusals show them. */

import type { Bytes } from "./bytes.js";
import { Der, DerError, SET } from "./der.js";
import { hexExcerpt, textExcerpt } from "./excerpt.js";

/**
 * Reads a distinguished name and returns the value of its last common name.
 *
 * `Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }` (RFC 5280 section 4.1.2.4).
 */
export function readCommonName(name: Bytes): Bytes | undefined {
  let found: Bytes | undefined;
  const reader = new Der(name);
  reader.sequence((names) => {
    while (!names.isFinished) {
      names.inside(SET, (attributes) => {
        while (!attributes.isFinished) {
          const [oid, { value }] = attributes.sequence((r) => [r.objectIdentifier(), r.any()]);
          if (oid === COMMON_NAME) found = value;
        }
      });
    }
  });
  reader.finish();
  return found;
}

/** Two names that differ, for people: their common names, or hex where there is none or both have the same. */
export function apart(one: Bytes, other: Bytes): readonly [string, string] {
  const shown = (name: Bytes) => {
    const common = readCommonName(name);
    return common === undefined || common.length === 0 ? hexExcerpt(name) : textExcerpt(common);
  };
  const [first, second] = [shown(one), shown(other)];
  return first === second ? [hexExcerpt(one), hexExcerpt(other)] : [first, second];
}

/**
 * An `AlgorithmIdentifier` for people: its object identifier and that of its parameters, or hex of what has
 * another shape. Nothing has checked yet that it is one.
 */
export function algorithm(der: Bytes): string {
  return orHex(der, (reader) => {
    const [oid, parameters] = reader.sequence((r) => [r.objectIdentifier(), r.isFinished ? undefined : r.element()]);
    if (parameters === undefined) return oid;
    return `${oid} with ${orHex(parameters, (inner) => inner.objectIdentifier())}`;
  });
}

/** What `read` reads from all of these bytes; hex where it cannot. */
function orHex(der: Bytes, read: (reader: Der) => string): string {
  try {
    const reader = new Der(der);
    const text = read(reader);
    reader.finish();
    return text;
  } catch (error) {
    if (error instanceof DerError) return hexExcerpt(der);
    throw error;
  }
}

const COMMON_NAME = "2.5.4.3";
