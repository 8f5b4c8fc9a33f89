/** What passes between a page and its workers. */

import { Roots } from "../roots.js";
import { type ConnectOptions, connect, type Enclave } from "./enclave.js";
import { SteveError, type SteveErrorName } from "./error.js";

/** `ConnectOptions` as plain data: without a store of one's own, and with a development root in place of `Roots`. */
export interface WorkerConfig extends Omit<ConnectOptions, "roots"> {
  /** A development root that may vouch for evidence in place of AWS's, as a DER certificate. */
  readonly devRoot?: Uint8Array;
}

/** Connects as a page has said. */
export function connectAs(url: string, { devRoot, ...options }: WorkerConfig): Promise<Enclave> {
  return connect(url, devRoot === undefined ? options : { ...options, roots: Roots.devRoot(devRoot) });
}

/** An error as it passes. */
export interface PassedError {
  readonly name: string;
  readonly message: string;
  /** Of a `SteveError`; `null` of others. */
  readonly values: object | null;
}

export function passed(error: unknown): PassedError {
  if (error instanceof SteveError) return { name: error.name, message: error.message, values: error.values };
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, message, values: null };
}

/** The error again. */
export function received({ name, message, values }: PassedError): Error {
  if (values !== null) return new SteveError(name as SteveErrorName, values as never);
  if (name === "AbortError") return new DOMException(message, name);
  const error = name === "TypeError" ? new TypeError(message) : new Error(message);
  error.name = name;
  return error;
}
