/** A host that sends on what it was sent twice, or loses answers, in front of a real steved: nothing acts twice. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chromium } from "playwright-core";
import type * as Client from "../../src/client/index.js";
import { connect, type SteveError } from "../../src/client/index.js";
import { chromiumPath } from "../chromium.js";
import { type Between, between } from "./between.js";
import { deployed, stevedPath } from "./steved.js";

const program = stevedPath() ?? "";
const path = chromiumPath() ?? "";
const limits = { skip: program === "", timeout: 120_000 };
const EXCHANGE = "/.well-known/steve/x";

/** Sends everything on twice, and gives the first or the second answer. */
function twice(which: 0 | 1): Between {
  return async (_, pass) => [await pass(), await pass()][which];
}

async function pay(enclave: Client.Enclave): Promise<string> {
  return (await enclave.fetch("/pay", { method: "POST", body: "once" })).text();
}

test("a request and a hello that are sent on twice are taken once", limits, async () => {
  await deployed(program, async (deployment) => {
    await between(deployment.url, twice(0), async (url) => {
      const enclave = await connect(url, deployment.options);
      assert.equal(await pay(enclave), "once");
      assert.deepEqual(deployment.ran, ["POST /pay"]);
    });
    await between(deployment.url, twice(1), async (url) => {
      await assert.rejects(connect(url, deployment.options), (error: SteveError) => {
        return error.is("UNREACHABLE") && error.values.status === 409 && error.values.code === "replay";
      });
    });
    const second: Between = (asked, pass) => (asked === EXCHANGE ? twice(1) : pass)(asked, pass);
    await between(
      deployment.url,
      (asked, pass) => second(asked, pass),
      async (url) => {
        await assert.rejects(pay(await connect(url, deployment.options)), (error: SteveError) => {
          return error.is("STEVE_AMBIGUOUS") && error.values.code === "replay" && error.mayHaveRun;
        });
        assert.deepEqual(deployment.ran, ["POST /pay", "POST /pay"]);
      },
    );
  });
});

test("an answer that is lost is ambiguous, and its request is not sent again", limits, async () => {
  await deployed(program, async (deployment) => {
    let lost = 0;
    const losing: Between = async (asked, pass) => {
      const answer = await pass();
      if (asked !== EXCHANGE) return answer;
      lost += 1;
      return undefined;
    };
    await between(deployment.url, losing, async (url) => {
      const enclave = await connect(url, deployment.options);
      for (const times of [1, 2]) {
        await assert.rejects(pay(enclave), { name: "STEVE_AMBIGUOUS", mayHaveRun: true });
        assert.deepEqual([lost, deployment.ran.length], [times, times]);
      }
    });
  });
});

test("a request whose content fails is cut for the app, and may have run", limits, async () => {
  await deployed(program, async (deployment) => {
    const enclave = await connect(deployment.url, deployment.options);
    const cut = new Promise<void>((resolve) => {
      deployment.onCut = resolve;
    });
    let fail: () => void = () => undefined;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new Uint8Array(100_000));
        fail = () => controller.error(new Error("the disk broke"));
      },
    });
    const sent = enclave.fetch("/digest", { method: "POST", body });
    sent.catch(() => undefined);
    // Once it has reached the app.
    while (deployment.ran.length === 0) await new Promise((resolve) => setImmediate(resolve));
    fail();
    // Whether the head of an answer had come is nobody's to say.
    const broken = ["STEVE_AMBIGUOUS", "STEVE_TRUNCATED"];
    await assert.rejects(sent, (error: SteveError) => broken.includes(error.name) && error.mayHaveRun);
    await cut;
  });
});

/** Asks for the page once, so that its connection is one that browsers send on again, and then pays. */
async function payed({ root, pinned }: { root: string; pinned: Client.ImagePcrs }): Promise<string> {
  const bundle = "/register.js";
  const { connect, Roots } = (await import(bundle)) as typeof Client;
  const roots = Roots.devRoot(Uint8Array.from(atob(root), (character) => character.charCodeAt(0)));
  const policy = { mode: "pinned", profiles: [pinned] } as const;
  const enclave = await connect(location.origin, { policy, suite: "x25519", roots });
  return enclave.fetch("/pay", { method: "POST", body: "once" }).then(
    (response) => response.text(),
    (error: Client.SteveError) => `${error.name} ${error.mayHaveRun}`,
  );
}

test(
  "what a browser sends again by itself when a connection breaks runs once",
  { ...limits, skip: program === "" || path === "" },
  async () => {
    await deployed(program, async (deployment) => {
      let isLost = false;
      const losing: Between = async (asked, pass) => {
        const answer = await pass();
        if (asked !== EXCHANGE || isLost) return answer;
        isLost = true;
        return undefined;
      };
      await between(deployment.url, losing, async (url) => {
        const browser = await chromium.launch({ executablePath: path, chromiumSandbox: process.getuid?.() !== 0 });
        try {
          const page = await browser.newPage();
          await page.goto(url);
          const root = Buffer.from(deployment.root).toString("base64");
          assert.equal(await page.evaluate(payed, { root, pinned: deployment.profile }), "STEVE_AMBIGUOUS true");
          assert.equal(deployment.ran.filter((one) => one === "POST /pay").length, 1);
        } finally {
          await browser.close();
        }
      });
    });
  },
);
