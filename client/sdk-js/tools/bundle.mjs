/** Writes what pages without a bundler load, one file each, and holds them to their sizes. */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What a page pays at most, compressed, to verify … */
const VERIFY_LIMIT = 40 * 1024;
/** … to encrypt, too, with both suites, and to send what is encrypted: `fetch`, streams, sockets and workers. */
const WHOLE_LIMIT = 60_000;

/** The compressed size of an entry point's bundle. */
async function bundled(entry, outfile, format = "esm") {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    minify: true,
    sourcemap: true,
    format,
    target: "es2022",
  });
  return gzipSync(readFileSync(outfile), { level: 9 }).length;
}

function hold(what, bytes, limit) {
  console.log(`${what}: ${bytes} bytes compressed, at most ${limit}`);
  if (bytes > limit) process.exitCode = 1;
}

const verify = await bundled("src/index.ts", "dist/verify.min.js");
const steve = await bundled("src/steve/whole.ts", "dist/steve.min.js");
const client = await bundled("src/client/index.ts", "dist/client.min.js");
// Classic scripts, which every browser takes for workers.
const serviceWorker = await bundled("src/client/serviceWorker.ts", "dist/enclave-sw.js", "iife");
const worker = await bundled("src/client/worker.ts", "dist/enclave-worker.js", "iife");
hold("@caution/verify", verify, VERIFY_LIMIT);
hold("with @caution/verify/steve", verify + steve, WHOLE_LIMIT);
hold("@caution/verify/client, with all that it needs", client, WHOLE_LIMIT);
hold("its service worker", serviceWorker, WHOLE_LIMIT);
hold("its worker", worker, WHOLE_LIMIT);
