/** Writes `dist/verify.min.js`, one file for pages without a bundler, and holds it to its size. */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What a page pays at most, compressed. */
const LIMIT = 40 * 1024;

await build({
  entryPoints: ["src/index.ts"],
  outfile: "dist/verify.min.js",
  bundle: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: "es2022",
});

const bytes = gzipSync(readFileSync("dist/verify.min.js"), { level: 9 }).length;
console.log(`@caution/verify: ${bytes} bytes compressed, at most ${LIMIT}`);
if (bytes > LIMIT) process.exitCode = 1;
