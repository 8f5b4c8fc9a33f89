/** The certificate path: from a trusted root to the key that signs the document. */

import { sha256 } from "./bytes.js";
import { Certificate, type CertificateSummary } from "./certificate.js";
import { type Position, refusal } from "./error.js";
import type { UnverifiedFields } from "./evidence.js";
import type { RootKind, Roots } from "./roots.js";

/** A path whose every link holds, at no particular time. */
export class Chain {
  readonly root: RootKind;
  readonly leafKey: CryptoKey;
  /** The certificate that signs the document. */
  readonly leaf: Certificate;
  /** Root first, leaf last; at least two. */
  readonly #certificates: readonly Certificate[];

  private constructor(root: RootKind, certificates: readonly Certificate[], leaf: Certificate, leafKey: CryptoKey) {
    this.root = root;
    this.leaf = leaf;
    this.leafKey = leafKey;
    this.#certificates = certificates;
  }

  /** Checks every link from `cabundle[0]`, which must be a trusted root, to `certificate`. */
  static async check({ cabundle, certificate }: UnverifiedFields, roots: Roots): Promise<Chain> {
    const rootDer = cabundle[0] ?? new Uint8Array();
    const root = roots.kindOf(rootDer);
    if (root === undefined) throw refusal("UnknownRoot", { sha256: await sha256(rootDer) });

    const authorities = cabundle.map((der, index) => Certificate.parse(der, index));
    const leaf = Certificate.parse(certificate, "leaf");

    let issuer: { readonly certificate: Certificate; readonly key: CryptoKey } | undefined;
    for (const [index, authority] of authorities.entries()) {
      // Authorities strictly between this one and the leaf.
      checkAuthority(authority, authorities.length - index - 1);
      issuer = { certificate: authority, key: await linked(authority, issuer) };
    }
    checkLeaf(leaf);
    const leafKey = await linked(leaf, issuer);
    return new Chain(root, [...authorities, leaf], leaf, leafKey);
  }

  /**
   * Checks that every certificate is valid at `at`, both ends included. A refusal names the
   * certificate that bounds the whole chain's validity on that side.
   */
  checkValidity(at: number | bigint): void {
    let [from, until] = [bound(this.leaf, "notBefore"), bound(this.leaf, "notAfter")];
    for (const certificate of [...this.#certificates].reverse()) {
      const [first, last] = [bound(certificate, "notBefore"), bound(certificate, "notAfter")];
      if (first.time > from.time) from = first;
      if (last.time <= until.time) until = last;
    }
    if (at < from.time) throw refusal("NotYetValid", { position: from.position, from: from.time, at });
    if (at > until.time) throw refusal("Expired", { position: until.position, until: until.time, at });
  }

  summaries(): Promise<readonly CertificateSummary[]> {
    return Promise.all(this.#certificates.map((certificate) => certificate.summary()));
  }
}

interface Bound {
  readonly position: Position;
  readonly time: number;
}

function bound(certificate: Certificate, side: "notBefore" | "notAfter"): Bound {
  return { position: certificate.position, time: certificate.body[side] };
}

/** The key of a certificate that its issuer names and signed. The root is trusted for its bytes. */
async function linked(
  certificate: Certificate,
  issuer: { readonly certificate: Certificate; readonly key: CryptoKey } | undefined,
): Promise<CryptoKey> {
  const key = await certificate.publicKey();
  if (issuer !== undefined) {
    certificate.checkIssuer(issuer.certificate);
    await certificate.checkSignature(issuer.key);
  }
  return key;
}

/** Whether a certificate may issue others. Signatures and names are checked elsewhere. */
function checkAuthority(certificate: Certificate, below: number): void {
  const { position } = certificate;
  const { isCa, maySignCertificates, pathLength } = certificate.body.extensions;
  certificate.checkAlgorithm();
  checkCritical(certificate);
  if (!isCa) throw refusal("NotCa", { position });
  if (!maySignCertificates) throw refusal("NoCertSign", { position });
  if (pathLength !== undefined && below > pathLength) {
    throw refusal("PathLength", { position, allowed: pathLength, found: below });
  }
}

/** Whether a certificate may sign a document. */
function checkLeaf(certificate: Certificate): void {
  const { position } = certificate;
  const { isCa, maySignData } = certificate.body.extensions;
  certificate.checkAlgorithm();
  checkCritical(certificate);
  if (isCa) throw refusal("LeafIsCa", { position });
  if (!maySignData) throw refusal("NoDigitalSignature", { position });
}

function checkCritical({ position, body }: Certificate): void {
  const oid = body.extensions.unknownCritical;
  if (oid !== undefined) throw refusal("UnknownCriticalExtension", { position, oid });
}
