/** What STEVE needs of the platform. */

/** This platform lacks what STEVE needs. Nothing was sent. */
export class PlatformError extends Error {
  override readonly name = "PlatformError";
  readonly missing: "WebCrypto" | "X25519";

  constructor(missing: "WebCrypto" | "X25519", options?: ErrorOptions) {
    super(SENTENCES[missing], options);
    this.missing = missing;
  }
}

export function subtle(): SubtleCrypto {
  const found = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  if (found === undefined) throw new PlatformError("WebCrypto");
  return found;
}

const SENTENCES = {
  WebCrypto: "There is no WebCrypto here: a page has it only over https or on localhost.",
  X25519: "The WebCrypto of this platform has no X25519: Chrome 133, Firefox 130, Safari 17 and Node 20 have it.",
} as const;
