/**
 * The `/attestation` answer: `{"document": base64, "manifest": JSON value}`.
 *
 * A document vouches for the manifest's text, byte for byte, and `JSON.parse` loses that text; so
 * the members of the outermost object are found by their places in it.
 */

export interface Response {
  /** Standard base64 of the document. */
  readonly document: string;
  /** The manifest's JSON text as it stands in the answer; `null` when there is none. */
  readonly manifest: string | null;
}

/** Reads an answer; `undefined` when it is none. */
export function readResponse(text: string): Response | undefined {
  const members = isJson(text) ? readMembers(text) : undefined;
  const [document, second] = ["document", "attestation_document"].flatMap((name) => members?.get(name) ?? []);
  if (document === undefined || second !== undefined) return undefined;
  const value: unknown = JSON.parse(document);
  const manifest = members?.get("manifest") ?? "null";
  return typeof value === "string" ? { document: value, manifest: manifest === "null" ? null : manifest } : undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The texts of an object's members, of JSON that is well-formed; `undefined` for two of one name. */
function readMembers(text: string): ReadonlyMap<string, string> | undefined {
  const members = new Map<string, string>();
  let depth = 0;
  let start = 0;
  let name: string | undefined;
  for (const { 0: token, index } of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]/g)) {
    if (depth === 1 && token === ":") {
      name = JSON.parse(text.slice(start, index)) as string;
      start = index + 1;
    } else if (depth === 1 && (token === "," || token === "}")) {
      if (name !== undefined) {
        if (members.has(name)) return undefined;
        members.set(name, text.slice(start, index).trim());
      }
      start = index + 1;
    }
    if (token === "{" || token === "[") depth += 1;
    if (token === "}" || token === "]") depth -= 1;
    if (depth === 1 && start === 0) {
      if (token !== "{") return undefined;
      start = index + 1;
    }
  }
  return members;
}
