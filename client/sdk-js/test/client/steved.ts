/** steved as a process, an app behind it, and a page of the app in Chromium. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { type ConnectOptions, type ImagePcrs, Roots } from "../../src/client/index.js";
import type { SuiteName } from "../../src/steve/suite.js";
import { hex, inPackage } from "../files.js";
import { OuterSocket } from "./outerSocket.js";

/** The program; `undefined`, loudly, when nobody built it. */
export function stevedPath(): string | undefined {
  const found = process.env["STEVED_BIN"];
  if (found === undefined) console.log("SKIPPED: NO STEVED (`make test` builds it); NO SERVER OF ENCLAVES WAS TESTED");
  return found;
}

interface Said extends ImagePcrs {
  readonly address: string;
  readonly root: string;
}

/** A deployment on loopback. */
export class Deployment {
  readonly suite: SuiteName;
  readonly #program: string;
  readonly #lifetimeS: number;
  readonly #folder = mkdtempSync(`${tmpdir()}/steved-`);
  readonly #app: Server;
  #process: ChildProcess | undefined;
  #said: Said = { address: "127.0.0.1:0", root: "", pcr0: "", pcr1: "", pcr2: "" };
  /** Requests that the app got. */
  readonly ran: string[] = [];
  /** Called where a request to `/digest` does not come to its end. */
  onCut: () => void = () => undefined;
  /** Lets `/words` go on. */
  goOn: () => void = () => undefined;

  private constructor(program: string, suite: SuiteName, lifetimeS: number) {
    this.#program = program;
    this.suite = suite;
    this.#lifetimeS = lifetimeS;
    this.#app = createServer((request, response) => void this.#answer(request, response));
    this.#app.on("upgrade", (request: IncomingMessage, socket: Socket) => void echoes(request, socket));
  }

  static async start(program: string, suite: SuiteName, lifetimeS = 1800): Promise<Deployment> {
    const deployment = new Deployment(program, suite, lifetimeS);
    deployment.#app.listen(0, "127.0.0.1");
    await once(deployment.#app, "listening");
    await deployment.begin();
    return deployment;
  }

  /** Begins; a second time where it was before, with other keys. */
  async begin(): Promise<void> {
    const { port } = this.#app.address() as AddressInfo;
    const whole = [this.#folder, this.#said.address, `127.0.0.1:${port}`, this.suite, String(this.#lifetimeS)];
    this.#process = spawn(this.#program, whole, { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: this.#process.stdout ?? process.stdin });
    const ended = once(this.#process, "exit").then(([code]) => Promise.reject(new Error(`steved ended: ${code}`)));
    const [line] = (await Promise.race([once(lines, "line"), ended])) as [string];
    ended.catch(() => undefined);
    this.#said = JSON.parse(line) as Said;
  }

  /** Ends it as a machine does that fails. */
  async kill(): Promise<void> {
    const ended = once(this.#process ?? process, "exit");
    this.#process?.kill("SIGKILL");
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#app.closeAllConnections();
    this.#app.close();
    rmSync(this.#folder, { recursive: true });
  }

  get url(): string {
    return `http://${this.#said.address}`;
  }

  get profile(): ImagePcrs {
    const { pcr0, pcr1, pcr2 } = this.#said;
    return { pcr0, pcr1, pcr2 };
  }

  /** DER. */
  get root(): Uint8Array {
    return hex(this.#said.root);
  }

  get options(): ConnectOptions {
    const policy = { mode: "pinned", profiles: [this.profile] } as const;
    return { policy, suite: this.suite, roots: Roots.devRoot(this.root) };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url: path = "" } = request;
    this.ran.push(`${method} ${path}`);
    if (path === "/") response.setHeader("Content-Type", "text/html").end("<!doctype html><title>an app</title>");
    else if (path === "/register.js") {
      response.setHeader("Content-Type", "text/javascript").end(readFileSync(inPackage("dist/client.min.js")));
    } else if (path === "/words") {
      const words = response.writeHead(200, { "Content-Type": "text/event-stream" });
      words.write("one");
      await new Promise<void>((resolve) => {
        this.goOn = resolve;
      });
      words.end("two");
    } else if (path === "/cut") {
      response.writeHead(200, { "Content-Length": "100" });
      response.write("some", () => response.destroy());
    } else if (path === "/digest") {
      const digest = createHash("sha256");
      try {
        for await (const piece of request) digest.update(piece as Uint8Array);
        response.end(digest.digest("hex"));
      } catch {
        this.onCut();
      }
    } else {
      const marker = request.headers["x-enclave-e2e"] ?? "none";
      request.pipe(response.writeHead(201, { "X-Was": marker }));
    }
  }
}

/** Runs `visit` with a deployment that ends after it. */
export async function deployed(
  program: string,
  visit: (deployment: Deployment) => Promise<void>,
  suite: SuiteName = "x25519",
  lifetimeS?: number,
): Promise<void> {
  const deployment = await Deployment.start(program, suite, lifetimeS);
  try {
    await visit(deployment);
  } finally {
    await deployment.stop();
  }
}

/** Says everything again, and closes when it is told to. */
async function echoes(request: IncomingMessage, socket: Socket): Promise<void> {
  const outer = new OuterSocket(request, socket, request.headers["sec-websocket-protocol"] ?? "");
  for (let message = await outer.next(); message; message = await outer.next()) outer.send(message);
}
