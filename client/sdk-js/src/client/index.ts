/**
 * `fetch` into an enclave that was verified first: STEVE over HTTP, for pages, workers and Node.
 *
 *     const app = await connect("https://app.example.com", { policy });
 *     const response = await app.fetch("/notes", { method: "POST", body: "secret" });
 *
 * Whoever runs the host sees sizes and times, and can refuse. It cannot read or change anything, and cannot have anything act
 * twice. There is no mode that trusts everybody, and nothing is ever sent again by itself. The protocol: `specs/steve.md`.
 */

export type { ImagePcrs } from "../policy.js";
export { Roots } from "../roots.js";
export type { SuiteName } from "../steve/suite.js";
export type { WorkerConfig } from "./config.js";
export { type ConnectOptions, connect, type Enclave } from "./enclave.js";
export { SteveError, type SteveErrorName, type SteveErrorValues } from "./error.js";
export { EnclaveEventSource } from "./eventSource.js";
export { EnclaveCloseEvent, EnclaveErrorEvent } from "./events.js";
export { IndexedDbStore } from "./indexedDb.js";
export type { PinnedPolicy, Policy, SignedPolicy, TofuPolicy, Trust } from "./policy.js";
export type { ExchangeReceipt, Receipt } from "./receipt.js";
export { registerEnclaveWorker } from "./register.js";
export type { ReleaseMemory, SeenRelease, SignedRelease } from "./release.js";
export { connectInWorker, type RemoteEnclave } from "./remote.js";
export type { FirstUse, TrustStore } from "./tofu.js";
export { EnclaveWebSocket } from "./webSocket.js";
