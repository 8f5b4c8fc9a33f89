/** What `fetch` takes, as a request inside the tunnel. */

import { type Bytes, copyOf } from "../bytes.js";
import type { Fields, RequestHead } from "../steve/http/message.js";
import { ascii } from "../steve/kdf.js";
import type { Address } from "./address.js";
import { SteveError } from "./error.js";

/** What a request carries: nothing, bytes, a file or the like, or a stream that can be read once. */
export type Content = Bytes | Blob | ReadableStream<Uint8Array> | undefined;

/** A request that was read. */
export interface Inner {
  readonly head: RequestHead;
  readonly content: Content;
  readonly url: URL;
  readonly redirect: RequestRedirect;
  readonly signal: AbortSignal;
}

/** Reads the arguments of `fetch`. Addresses without a host are the application's; others are refused. */
export async function readRequest(address: Address, input: RequestInfo | URL, init: RequestInit = {}): Promise<Inner> {
  const url = urlOf(address, input);
  const { body, ...rest } = init;
  const isStream = body instanceof ReadableStream;
  // A stream is kept out: several browsers make text of it.
  const request = platformRequest(input instanceof Request ? input : url, isStream ? rest : init);
  if (request.integrity !== "") throw refused("`integrity` is not supported: nothing but the enclave can answer");
  const { method, redirect } = request;
  // Not the request's own: Node 20 forgets it.
  const signal = init.signal ?? (input instanceof Request ? input.signal : new AbortController().signal);
  const mayCarry = method !== "GET" && method !== "HEAD";
  if (isStream && !mayCarry) throw refused(`${method} carries no content`);
  const content = !mayCarry
    ? undefined
    : isStream
      ? (body as ReadableStream<Uint8Array>)
      : await contentOf(request, body);
  const fields = fieldsOf(request.headers, content);
  return { head: headOf(address, method, url, fields), content, url, redirect, signal };
}

/** The same to where a redirect of this status leads. */
export function redirected(address: Address, inner: Inner, url: URL, status: number): Inner {
  const { method, fields } = inner.head;
  const becomesGet = (status === 303 && method !== "HEAD") || (status < 303 && method === "POST");
  if (!becomesGet) return { ...inner, url, head: headOf(address, method, url, fields) };
  const kept = fields.filter(([name]) => !name.startsWith("content-"));
  return { ...inner, url, head: headOf(address, "GET", url, kept), content: undefined };
}

function headOf({ authority }: Address, method: string, url: URL, fields: Fields): RequestHead {
  return { method, scheme: "https", authority, path: url.pathname + url.search, fields };
}

function urlOf({ origin }: Address, input: RequestInfo | URL): URL {
  const text = input instanceof Request ? input.url : String(input);
  if (!URL.canParse(text, origin)) throw refused(`\`${text.slice(0, 200)}\` is no URL`);
  const url = new URL(text, origin);
  if (url.origin !== origin) throw refused(`${url.origin} is not the application, which is ${origin}`);
  return url;
}

function platformRequest(input: Request | URL, init: RequestInit): Request {
  try {
    return new Request(input, init);
  } catch (cause) {
    throw new SteveError("INVALID_REQUEST", { why: (cause as Error).message }, { cause });
  }
}

async function contentOf(request: Request, body: BodyInit | null | undefined): Promise<Content> {
  if (typeof body === "string") return ascii(body);
  if (body instanceof ArrayBuffer) return copyOf(new Uint8Array(body));
  if (ArrayBuffer.isView(body)) return copyOf(new Uint8Array(body.buffer, body.byteOffset, body.byteLength));
  const blob = body instanceof Blob ? body : await request.blob();
  return blob.size > SMALL ? blob : new Uint8Array(await blob.arrayBuffer());
}

function fieldsOf(headers: Headers, content: Content): Fields {
  // `Headers` holds bytes as characters.
  const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
  const fields = [...headers].filter(([name]) => name !== "content-length" && name !== "host");
  if (!headers.has("accept")) fields.push(["accept", "*/*"]);
  // What is compressed tells by its length what is in it; and nothing here would unpack it.
  if (!headers.has("accept-encoding")) fields.push(["accept-encoding", "identity"]);
  const length = content instanceof Blob ? content.size : content instanceof Uint8Array ? content.length : undefined;
  if (length !== undefined) fields.push(["content-length", String(length)]);
  return fields.map(([name, value]) => [name, latin1(value)] as const);
}

function refused(why: string): SteveError {
  return new SteveError("INVALID_REQUEST", { why });
}

/** Shorter content is held as bytes. */
const SMALL = 64 * 1024;
