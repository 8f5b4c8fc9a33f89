/** `EnclaveWebSocket`, in a real Chromium. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type * as Client from "../../src/client/index.js";
import { chromiumPath } from "../chromium.js";
import { vector } from "../files.js";
import { PROFILE, type SocketApp, type Tunnel } from "./host.js";
import { type Given, onPage } from "./page.js";

const path = chromiumPath() ?? "";
const given: Given = { root: vector("ok-live").root, ...PROFILE };
const bytes = (text: string) => new TextEncoder().encode(text);

/** Gives back what it hears, and closes when it is told to. */
async function echoes({ hear, say }: Tunnel): Promise<void> {
  for (let record = await hear(); record; record = await hear()) {
    if (record.kind === "wsClose") {
      await say("wsClose", record.content);
      await say("pad", new Uint8Array(), true);
      return;
    }
    if (record.kind !== "pad") await say(record.kind, record.content);
  }
}

const SOCKETS: Readonly<Record<string, SocketApp>> = {
  "/echo": async (tunnel) => {
    await tunnel.open([["sec-websocket-protocol", bytes("two")]]);
    await echoes(tunnel);
  },
  "/ping": async ({ open, say, hear }) => {
    await open();
    await say("ping", bytes("payload"));
    const pong = await hear();
    await say("wsText", bytes(`${pong?.kind} ${new TextDecoder().decode(pong?.content)}`));
    await say("wsClose", Uint8Array.of(0x0f, 0xa0, ...bytes("enough")));
    await say("pad", new Uint8Array(), true);
  },
  "/refused": ({ refuse }) => refuse(403),
  "/strange-protocol": ({ open }) => open([["sec-websocket-protocol", bytes("other")]]),
  "/cut": async ({ open, say, outer }) => {
    await open();
    await say("wsText", bytes("before"));
    await say("wsTextMore", bytes("half a message"));
    outer.destroy();
  },
  "/half-closed": async ({ open, say, outer }) => {
    await open();
    await say("wsClose", Uint8Array.of(0x03, 0xe8));
    outer.destroy();
  },
  "/silent": async ({ open }) => {
    await open();
    await new Promise(() => undefined);
  },
  "/mute": () => new Promise(() => undefined),
  "/ended": async ({ open, say }) => {
    await open();
    await say("pad", new Uint8Array(), true);
  },
  "/twice": async ({ open, sealer, outer }) => {
    await open();
    const chunk = await sealer.seal("wsText", bytes("pay"));
    outer.send(chunk);
    outer.send(chunk);
  },
  "/dropped": async ({ open, sealer, outer }) => {
    await open();
    await sealer.seal("wsText", bytes("do not"));
    outer.send(await sealer.seal("wsText", bytes("pay")));
  },
  "/forged": async ({ outer }) => outer.send(bytes("\x05hello")),
  "/text": async ({ open, outer }) => {
    await open();
    outer.send(bytes("plain"), true);
  },
  "/endless": async ({ open, say }) => {
    await open();
    const part = new Uint8Array(65_000);
    for (let length = 0; length <= 64 * 1024 * 1024; length += part.length) await say("wsBinaryMore", part);
  },
  "/not-utf8": async ({ open, say }) => {
    await open();
    await say("wsText", Uint8Array.of(0xff));
  },
};

async function visit({ root, ...profile }: Given): Promise<Readonly<Record<string, readonly string[]>>> {
  const bundle = "/client.min.js";
  const { connect, EnclaveWebSocket, Roots } = (await import(bundle)) as typeof Client;
  const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
  const policy = { mode: "pinned", profiles: [profile] } as const;
  let enclave = await connect(location.origin, { policy, suite: "x25519", roots });
  const play = (path: string, opened: (socket: Client.EnclaveWebSocket) => void = () => undefined) =>
    new Promise<readonly string[]>((resolve) => {
      const said: string[] = [];
      const socket = new EnclaveWebSocket(enclave, path, ["one", "two"]);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        said.push(`open ${socket.protocol}`);
        opened(socket);
      };
      socket.onmessage = ({ data }) => {
        const text = typeof data === "string" ? data : `${data.byteLength} bytes`;
        said.push(text.length > 100 ? `${text.length} characters` : text);
        if (path === "/echo" && said.length === 6) socket.close(4001, "done");
      };
      socket.onerror = ({ error }) => said.push((error as Error).name);
      socket.onclose = ({ code, reason, wasClean }) => {
        said.push(`close ${code} ${reason} ${wasClean}`);
        resolve(said);
      };
    });
  const all: Record<string, readonly string[]> = {};
  all["/echo"] = await play("/echo", (socket) => {
    for (const message of ["text", "é".repeat(100_000), new Uint8Array(200_000), new Blob(["blob"]), ""])
      socket.send(message);
  });
  for (const path of [
    "/ping",
    "/refused",
    "/strange-protocol",
    "/cut",
    "/half-closed",
    "/ended",
    "/twice",
    "/dropped",
    "/forged",
    "/text",
  ]) {
    all[path] = await play(path);
  }
  for (const path of ["/not-utf8", "/endless"]) all[path] = await play(path);
  enclave = await connect(location.origin, { policy, suite: "x25519", roots, idleMs: 500 });
  for (const path of ["/silent", "/mute"]) all[path] = await play(path);
  return all;
}

test(
  "a WebSocket carries messages both ways, and nothing cut or changed is a clean end",
  {
    skip: path === "",
    timeout: 180_000,
  },
  async () => {
    const socket: SocketApp = (tunnel) => SOCKETS[tunnel.head.path]?.(tunnel) ?? tunnel.refuse(404);
    await onPage(path, { socket }, async (page, host) => {
      const lost = "close 1006  false";
      assert.deepEqual(await page.evaluate(visit, given), {
        "/echo": ["open two", "text", "100000 characters", "200000 bytes", "4 bytes", "", "close 4001 done true"],
        "/ping": ["open ", "pong payload", "close 4000 enough true"],
        "/refused": ["TypeError", lost],
        "/strange-protocol": ["TypeError", lost],
        "/cut": ["open ", "before", "STEVE_TRUNCATED", lost],
        "/half-closed": ["open ", "STEVE_TRUNCATED", lost],
        "/ended": ["open ", "STEVE_TRUNCATED", lost],
        "/twice": ["open ", "pay", "RESPONSE_INVALID", lost],
        "/dropped": ["open ", "RESPONSE_INVALID", lost],
        "/forged": ["RESPONSE_INVALID", lost],
        "/text": ["open ", "RESPONSE_INVALID", lost],
        "/not-utf8": ["open ", "TypeError", lost],
        "/endless": ["open ", "RangeError", lost],
        "/silent": ["open ", "STEVE_TRUNCATED", lost],
        "/mute": ["STEVE_AMBIGUOUS", lost],
      });
      assert.equal(host.handshakes, 2);
    });
  },
);

/** Opens a WebSocket with an enclave that is kept between visits, and says what it was told. */
async function opening({ root, ...profile }: Given): Promise<readonly unknown[]> {
  const bundle = "/client.min.js";
  const { connect, EnclaveWebSocket, Roots, SteveError } = (await import(bundle)) as typeof Client;
  const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
  const kept = globalThis as { enclave?: Client.Enclave };
  const policy = { mode: "pinned", profiles: [profile] } as const;
  kept.enclave ??= await connect(location.origin, { policy, suite: "x25519", roots });
  const socket = new EnclaveWebSocket(kept.enclave, "/echo", ["two"]);
  return new Promise((resolve) => {
    socket.onopen = () => resolve(["open"]);
    socket.onerror = ({ error }) => {
      if (!(error instanceof SteveError)) return resolve([String(error)]);
      const { code } = error.values as { code?: string };
      return resolve([error.name, code, error.mayHaveRun, error.message]);
    };
  });
}

test(
  "an outer close is nobody's word: one that says that the session is gone costs a handshake, and repeats nothing",
  {
    skip: path === "",
    timeout: 180_000,
  },
  async () => {
    let refusal: string | undefined;
    const socket: SocketApp = async (tunnel) => {
      if (refusal === undefined) return tunnel.open([["sec-websocket-protocol", bytes("two")]]);
      return tunnel.outer.close(1008, refusal);
    };
    await onPage(path, { socket }, async (page, host) => {
      assert.deepEqual(await page.evaluate(opening, given), ["open"]);
      host.forgetSessions();
      const [name, code, mayHaveRun, message] = await page.evaluate(opening, given);
      assert.deepEqual([name, code, mayHaveRun], ["STEVE_AMBIGUOUS", "session_unknown", true]);
      assert.match(String(message), /It closed with session_unknown, which anybody on the way can have said\.$/);
      assert.deepEqual([host.ran.length, host.handshakes], [1, 1]);
      assert.deepEqual(await page.evaluate(opening, given), ["open"]);
      assert.deepEqual([host.ran.length, host.handshakes], [2, 2]);
      // Words that are none are not passed on, and others than this one end no session.
      for (const [word, known] of [
        ["busy", "busy"],
        ["Session unknown!", null],
      ] as const) {
        refusal = word;
        assert.deepEqual((await page.evaluate(opening, given)).slice(0, 3), ["STEVE_AMBIGUOUS", known, true]);
      }
      assert.equal(host.handshakes, 2);
      refusal = undefined;
      host.stop();
      assert.deepEqual((await page.evaluate(opening, given)).slice(0, 3), ["UNREACHABLE", null, false]);
    });
  },
);
