/** Whose word counts: the roots a verifier trusts. */

import { type Bytes, copyOf, equal, fromBase64 } from "./bytes.js";
import { Certificate } from "./certificate.js";

/** Who vouched for a document: genuine hardware, a machine's development root, or a root of the caller's. */
export type RootKind = "aws" | "dev" | "other";

/** Why a root cannot be trusted: it is no certificate at all. */
export class RootError extends Error {
  override readonly name = "RootError";
}

/** The certificates a chain may start from, compared byte for byte. */
export class Roots {
  readonly #roots: readonly (readonly [RootKind, Bytes])[];

  private constructor(roots: readonly (readonly [RootKind, Bytes])[]) {
    this.#roots = roots;
  }

  /** The AWS Nitro Enclaves root alone: what production verifiers use. */
  static aws(): Roots {
    return new Roots([["aws", awsRoot()]]);
  }

  /** Roots the caller brings, as DER certificates. AWS's own is recognised as such. */
  static fromDer(certificates: readonly Uint8Array[]): Roots {
    if (certificates.length === 0) throw new RootError("no root is given");
    return new Roots(certificates.map((der, index) => root("other", index, der)));
  }

  /** A development root, as a DER certificate. Nothing it vouches for has anything to do with hardware. */
  static devRoot(certificate: Uint8Array): Roots {
    return new Roots([root("dev", 0, certificate)]);
  }

  /** Both these and `others`. */
  and(others: Roots): Roots {
    return new Roots([...this.#roots, ...others.#roots]);
  }

  /** The kind of the root with exactly these bytes. The first added wins. */
  kindOf(der: Uint8Array): RootKind | undefined {
    return this.#roots.find(([, root]) => equal(root, der))?.[0];
  }
}

function root(kind: RootKind, index: number, der: Uint8Array): readonly [RootKind, Bytes] {
  const copy = copyOf(der);
  try {
    Certificate.parse(copy, 0);
  } catch (cause) {
    throw new RootError(`root number ${index + 1} is not a DER certificate`, { cause });
  }
  return [equal(copy, awsRoot()) ? "aws" : kind, copy];
}

function awsRoot(): Bytes {
  const der = fromBase64(AWS_ROOT_G1);
  if (der === undefined) throw new TypeError("the built-in root is base64");
  return der;
}

/**
 * AWS Nitro Enclaves Root-G1, valid 2019-10-28 to 2049-10-28, SHA-256
 * 641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b; published by AWS as
 * `AWS_NitroEnclaves_Root-G1.zip`.
 */
const AWS_ROOT_G1 =
  "MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTELMAkGA1UEBhMCVVMxDzANBgNVBAoMBkFt" +
  "YXpvbjEMMAoGA1UECwwDQVdTMRswGQYDVQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4" +
  "MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQLDANBV1MxGzAZBgNVBAMMEmF3cy5uaXRy" +
  "by1lbmNsYXZlczB2MBAGByqGSM49AgEGBSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb" +
  "48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZEh8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/" +
  "BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkFR+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYC" +
  "MQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPWrfMCMQCi85sWBbJwKKXdS6BptQFuZbT7" +
  "3o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6NIwLz3/Y=";
