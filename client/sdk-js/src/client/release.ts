/** Releases of an application that its makers signed: which images count, and never an older one. */

import { type Bytes, copyOf, equal, fromBase64, toHex, utf8 } from "../bytes.js";
import { ecdsaSignature } from "../certificate.js";
import { isPoint, isSignedBy, publicKey } from "../p384.js";
import type { ImagePcrs } from "../policy.js";
import { sha256 } from "../steve/kdf.js";
import { SteveError } from "./error.js";

/** A release as it is handed out, and who may sign it. */
export interface SignedRelease {
  /** Whose release it must be. */
  readonly app: string;
  /** Public keys of the curve P-384 in PEM, as `openssl ec -pubout` writes them. */
  readonly keys: readonly string[];
  /** How many of them must have signed it; all when left out. */
  readonly threshold?: number;
  /** The file. */
  readonly release: Uint8Array;
  /** Signatures of its bytes: ECDSA with SHA-384, in DER. */
  readonly signatures: readonly Uint8Array[];
}

/** A version that was seen. */
export interface SeenRelease {
  readonly version: number;
  /** Of its file, in hex. */
  readonly sha256: string;
}

/** Where the newest version that was seen is remembered. */
export interface ReleaseMemory {
  /**
   * The newest release of `app` that was seen before. Where there is none, or an older one than `offered`, `offered` takes its place, safe
   * from a crash when this resolves; nobody comes in between.
   */
  advance(app: string, offered: SeenRelease): Promise<SeenRelease | undefined>;
}

/** A release whose signatures hold. */
export interface OpenedRelease {
  readonly version: number;
  readonly profiles: readonly ImagePcrs[];
  /** Insists that it counts now. From then on no older one does. */
  admit(memory: ReleaseMemory, now: number): Promise<void>;
}

/** Who signed, then what is in it; nothing of it is read before that. Rejects with a `SteveError`. */
export async function openRelease({
  app,
  keys,
  release,
  signatures,
  threshold,
}: SignedRelease): Promise<OpenedRelease> {
  const bytes = copyOf(release);
  if (bytes.length > MAX_RELEASE) throw invalid(`it is longer than ${MAX_RELEASE} bytes`);
  await checkSignatures(bytes, keys.map(pointOf), threshold ?? keys.length, signatures);
  const { version, notAfter, profiles, app: found } = parse(bytes);
  if (found !== app) throw invalid(`it is \`${found}\`'s, not \`${app}\`'s`);
  const digest = toHex(await sha256(bytes));
  return {
    version,
    profiles,
    admit: async (memory, now) => {
      if (now > notAfter) throw new SteveError("RELEASE_EXPIRED", { until: notAfter, now });
      const seen = await remembered(memory, app, { version, sha256: digest });
      if (seen === undefined || seen.version < version) return;
      if (seen.version > version) throw new SteveError("RELEASE_ROLLBACK", { seen: seen.version, offered: version });
      if (seen.sha256 !== digest) {
        throw new SteveError("RELEASE_REWRITTEN", { version, seen: seen.sha256, offered: digest });
      }
    },
  };
}

async function remembered(memory: ReleaseMemory, app: string, offered: SeenRelease): Promise<SeenRelease | undefined> {
  const seen = await memory.advance(app, offered).catch((cause: unknown) => {
    if (cause instanceof SteveError) throw cause;
    throw new SteveError("PCR_TRUST_STORAGE", { why: "the store failed" }, { cause });
  });
  if (seen !== undefined && !(Number.isSafeInteger(seen.version) && typeof seen.sha256 === "string")) {
    throw new SteveError("PCR_TRUST_STORAGE", { why: "what the store holds is no version" });
  }
  return seen;
}

/** One key counts once, however often it signed. */
async function checkSignatures(
  bytes: Bytes,
  points: readonly Bytes[],
  threshold: number,
  signatures: readonly Uint8Array[],
): Promise<void> {
  if (points.some((point, index) => points.slice(0, index).some((other) => equal(other, point)))) {
    throw invalid("one of its keys stands there twice");
  }
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > points.length) {
    throw invalid(`${threshold} of ${points.length} keys cannot sign it`);
  }
  const raw = signatures.slice(0, MAX_SIGNATURES).flatMap((der) => ecdsaSignature(copyOf(der)) ?? []);
  let found = 0;
  for (const point of points) {
    const key = await publicKey(point);
    const verdicts = await Promise.all(raw.map((signature) => isSignedBy(key, bytes, signature)));
    if (verdicts.includes(true)) found += 1;
  }
  if (found < threshold) throw invalid(`${found} of the known keys signed it, and ${threshold} must`);
}

function pointOf(pem: string, index: number): Bytes {
  const body = /^-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----$/.exec(pem.trim())?.[1];
  const der = fromBase64((body ?? "").replace(/\s/g, ""));
  const point = der?.slice(SPKI_P384.length);
  if (
    der === undefined ||
    point === undefined ||
    !equal(der.slice(0, SPKI_P384.length), SPKI_P384) ||
    !isPoint(point)
  ) {
    throw invalid(`key number ${index + 1} is no public key of the curve P-384 in PEM`);
  }
  return point;
}

function parse(bytes: Bytes) {
  let value: unknown;
  try {
    value = JSON.parse(utf8(bytes) ?? "");
  } catch (cause) {
    throw new SteveError("RELEASE_INVALID", { why: "it is no JSON" }, { cause });
  }
  const release = fields(value, ["schema", "app", "version", "not_after_ms", "profiles"]);
  if (release["schema"] !== "caution.app-release/1") throw invalid("its schema is not `caution.app-release/1`");
  const { app, profiles } = release;
  if (typeof app !== "string") throw invalid("`app` is no text");
  if (!Array.isArray(profiles) || profiles.length === 0) throw invalid("it has no profiles");
  const [version, notAfter] = [whole(release, "version"), whole(release, "not_after_ms")];
  return { app, version, notAfter, profiles: profiles.map(profileOf) };
}

function profileOf(value: unknown): ImagePcrs {
  const { pcr0, pcr1, pcr2, pcr8 } = fields(value, ["pcr0", "pcr1", "pcr2", "pcr8"]) as Record<string, string>;
  // Whether they are registers is asked where a policy is read.
  const image = { pcr0: pcr0 ?? "", pcr1: pcr1 ?? "", pcr2: pcr2 ?? "" };
  return pcr8 === undefined || pcr8 === null ? image : { ...image, pcr8 };
}

function fields(value: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw invalid("it is no object");
  const stranger = Object.keys(value).find((key) => !known.includes(key));
  if (stranger !== undefined) throw invalid(`\`${stranger}\` is no key of it`);
  return value as Readonly<Record<string, unknown>>;
}

function whole(release: Readonly<Record<string, unknown>>, key: string): number {
  const value = release[key];
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw invalid(`\`${key}\` is no whole number`);
}

function invalid(why: string): SteveError {
  return new SteveError("RELEASE_INVALID", { why });
}

/** `SubjectPublicKeyInfo { id-ecPublicKey, secp384r1 }` up to the point, RFC 5480. */
const SPKI_P384 = Uint8Array.of(
  ...[0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02],
  ...[0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00],
);
/** The longest release that is read, in bytes. */
const MAX_RELEASE = 64 * 1024;
/** The most signatures that are looked at. */
const MAX_SIGNATURES = 16;
