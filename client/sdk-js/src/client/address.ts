/** The address of an application. */

import { SteveError } from "./error.js";

export interface Address {
  /** `https://host[:port]`. */
  readonly origin: string;
  /** Host and, where it is not the scheme's own, port: what the client means by this deployment. */
  readonly authority: string;
}

/** Reads `https://host[:port][/]`; `http` only of this very machine, where nobody else listens. */
export function addressOf(text: string | URL): Address {
  const wrong = (why: string) => new SteveError("ADDRESS_INVALID", { url: shown(text), why });
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw wrong("it is no URL");
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isThisMachine(url.hostname))) {
    throw wrong(url.protocol === "http:" ? "http is for this machine only; use https" : "it is neither https nor http");
  }
  if (url.username !== "" || url.password !== "") throw wrong("a name or password before @ would be sent to nobody");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw wrong("it has a path, which belongs into a request");
  }
  return { origin: url.origin, authority: url.host };
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Without what may be a secret in it. */
function shown(text: string | URL): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return (url === undefined ? String(text) : `${url.protocol}//${url.host}`).slice(0, 200);
}
