/** What a browser remembers of whom it trusts, on disk when it says so. */

import { SteveError } from "./error.js";
import type { ReleaseMemory, SeenRelease } from "./release.js";
import type { FirstUse, TrustStore } from "./tofu.js";

/** A database of this origin. Several pages and workers may use it at once. */
export class IndexedDbStore implements TrustStore, ReleaseMemory {
  readonly #name: string;

  constructor(name = "caution-trust") {
    this.#name = name;
  }

  getOrEnroll(key: string, found: FirstUse): Promise<unknown> {
    return this.#step("first-use", key, (known) => (known === undefined ? found : undefined));
  }

  advance(app: string, offered: SeenRelease): Promise<SeenRelease | undefined> {
    const newer = (known: SeenRelease | undefined) => known === undefined || known.version < offered.version;
    return this.#step("releases", app, (known) =>
      newer(known as SeenRelease | undefined) ? offered : undefined,
    ) as Promise<SeenRelease | undefined>;
  }

  /** What stands under `key`; what `next` makes of it takes its place. One transaction, which has reached the disk. */
  async #step(kind: Kind, key: string, next: (known: unknown) => unknown): Promise<unknown> {
    try {
      const database = await this.#open();
      try {
        return await inTransaction(database, kind, key, next);
      } finally {
        database.close();
      }
    } catch (cause) {
      throw new SteveError("PCR_TRUST_STORAGE", { why: "the browser's database failed" }, { cause });
    }
  }

  #open(): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(this.#name, 1);
      request.onupgradeneeded = () => {
        for (const kind of KINDS) request.result.createObjectStore(kind);
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
      request.onblocked = () => reject(new Error("another page holds an older version of it"));
    });
  }
}

type Kind = (typeof KINDS)[number];

function inTransaction(
  database: IDBDatabase,
  kind: Kind,
  key: string,
  next: (known: unknown) => unknown,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(kind, "readwrite", { durability: "strict" });
    const records = transaction.objectStore(kind);
    const request = records.get(key);
    request.onsuccess = () => {
      const after = next(request.result);
      if (after !== undefined) records.put(after, key);
    };
    // Not before: until then another page, or nobody, may see it.
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error ?? new Error("it was given up"));
    transaction.onerror = () => reject(transaction.error);
  });
}

const KINDS = ["first-use", "releases"] as const;
