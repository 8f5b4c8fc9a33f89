/** The package as `npm publish` would send it, installed beside an app. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { inPackage } from "./files.js";

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, string | Readonly<Record<"types" | "default", string>>>>;
}

/** Packs, and unpacks into an app's folder, which is what an installation does where there are no scripts. */
function installed(visit: (app: string, folder: string, manifest: Manifest) => void): void {
  const app = mkdtempSync(`${tmpdir()}/packed-`);
  try {
    const said = execFileSync("npm", ["pack", "--json", "--pack-destination", app], {
      cwd: inPackage("."),
      stdio: "pipe",
    });
    const [{ filename }] = JSON.parse(String(said)) as [{ filename: string }];
    const folder = `${app}/node_modules/@caution/verify`;
    mkdirSync(folder, { recursive: true });
    execFileSync("tar", ["-xzf", `${app}/${filename}`, "-C", folder, "--strip-components=1"]);
    // What `xwing` needs besides, in the version that is locked.
    symlinkSync(inPackage("node_modules/@noble"), `${app}/node_modules/@noble`);
    writeFileSync(`${app}/package.json`, '{ "name": "app", "type": "module" }');
    visit(app, folder, JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as Manifest);
  } finally {
    rmSync(app, { recursive: true });
  }
}

/** An app that uses what each path gives, as its pages show it. */
const APP = `import { attest, type Expected, Roots, type Verified } from "@caution/verify";
import { verify } from "@caution/verify/min";
import { connect, type ConnectOptions, EnclaveEventSource, EnclaveWebSocket, type Receipt, SteveError } from "@caution/verify/client";
import { connectInWorker, registerEnclaveWorker } from "@caution/verify/client/min";
import { ClientHandshake, x25519 } from "@caution/verify/steve";
import { xwing } from "@caution/verify/steve/xwing";
import { decodeKeyConfigs } from "@caution/verify/steve/min";

export async function use(url: string, pcrs: { pcr0: string; pcr1: string; pcr2: string }): Promise<Receipt> {
  const options: ConnectOptions = { policy: { mode: "pinned", profiles: [pcrs] }, suite: "xwing", roots: Roots.aws() };
  const enclave = await connect(url, options);
  const response: Response = await enclave.fetch("/", { method: "POST", body: "b" });
  new EnclaveEventSource(enclave, "/events").close();
  new EnclaveWebSocket(enclave, "/socket").send("text");
  const shown: readonly Verified[] = [(await attest(url, { roots: Roots.aws() } satisfies { roots: Expected["roots"] })).verified];
  if (shown.length === 0) throw new SteveError("STEVE_TRUNCATED", {});
  // @ts-expect-error A policy is required.
  await connect(url, {});
  return enclave.receipt(response);
}
export const all = [verify, connectInWorker, registerEnclaveWorker, ClientHandshake, x25519, xwing, decodeKeyConfigs];
if (all.some((one) => one === undefined)) throw new Error("a path gives less than its types say");
console.log(all.length);
`;

test("the packed package has what its exports name, and nothing of its tests", () => {
  installed((_app, folder, { name, exports }) => {
    assert.equal(name, "@caution/verify");
    for (const [path, target] of Object.entries(exports)) {
      for (const file of typeof target === "string" ? [target] : Object.values(target)) {
        assert.ok(existsSync(`${folder}/${file}`), `${path} names ${file}`);
      }
    }
    for (const absent of ["test", "src", "build", "node_modules"])
      assert.ok(!existsSync(`${folder}/${absent}`), absent);
  });
});

test("an app beside the packed package compiles, strictly and in both ways of looking for modules, and runs", () => {
  installed((app) => {
    writeFileSync(`${app}/app.ts`, APP);
    for (const [module, moduleResolution] of [
      ["esnext", "bundler"],
      ["nodenext", "nodenext"],
    ] as const) {
      const compilerOptions = {
        module,
        moduleResolution,
        target: "es2022",
        lib: ["es2022", "dom", "dom.iterable"],
        types: [],
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        outDir: "out",
      };
      writeFileSync(`${app}/tsconfig.json`, JSON.stringify({ compilerOptions, files: ["app.ts"] }));
      const compiler = inPackage("node_modules/typescript/bin/tsc");
      execFileSync(process.execPath, [compiler, "-p", app], { stdio: ["ignore", "inherit", "inherit"] });
    }
    assert.equal(String(execFileSync(process.execPath, [`${app}/out/app.js`])).trim(), "7");
    const inner = 'import("@caution/verify/dist/client/session.js").catch(({ code }) => console.log(code))';
    const said = execFileSync(process.execPath, ["--input-type=module", "-e", inner], { cwd: app });
    assert.equal(String(said).trim(), "ERR_PACKAGE_PATH_NOT_EXPORTED");
  });
});
