// The pages of cautiond: set-up, invitations, signing in, letting programs in, sessions. No framework, no other site.

const byId = (id) => document.getElementById(id);
const status = byId("status");

/** What a link leads with: it stands behind `#`, so that no server's log has it. */
const link = location.hash.slice(1);
let own = null;

class Refused extends Error {
  constructor(problem) {
    super(problem.fix ? `${problem.message} (${problem.fix})` : problem.message);
    this.code = problem.code;
  }
}

async function ask(method, path, body) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (own !== null && method !== "GET") headers["x-csrf-token"] = own.csrf_token;
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.status === 204) return null;
  const value = await answer.json();
  if (!answer.ok) throw new Refused(value);
  return value;
}

/** The same, once more after the passkey was shown where the server wants that. */
async function askWithProof(method, path, body) {
  try {
    return await ask(method, path, body);
  } catch (error) {
    if (error.code !== "proof_needed") throw error;
    own = await ask("POST", "/v1/session/proof", await showPasskey());
    return await ask(method, path, body);
  }
}

function encode(buffer) {
  const text = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decode(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (c) => c.charCodeAt(0));
}

async function makePasskey(asked, name) {
  const made = await navigator.credentials.create({
    publicKey: {
      rp: { id: asked.relying_party, name: "Caution" },
      user: { id: decode(asked.user), name, displayName: name },
      challenge: decode(asked.challenge),
      pubKeyCredParams: asked.algorithms.map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      attestation: "none",
      timeout: 300000,
    },
  });
  return {
    client_data: encode(made.response.clientDataJSON),
    authenticator_data: encode(made.response.getAuthenticatorData()),
  };
}

async function showPasskey() {
  const asked = await ask("POST", "/v1/session/challenge");
  const shown = await navigator.credentials.get({
    publicKey: {
      rpId: asked.relying_party,
      challenge: decode(asked.challenge),
      userVerification: "required",
      timeout: 300000,
    },
  });
  return {
    credential: encode(shown.rawId),
    client_data: encode(shown.response.clientDataJSON),
    authenticator_data: encode(shown.response.authenticatorData),
    signature: encode(shown.response.signature),
  };
}

/** Shows one section, and a sentence above it. */
function show(section, text) {
  for (const each of document.querySelectorAll("section")) each.hidden = each.id !== section;
  for (const each of document.querySelectorAll(".who")) each.textContent = own === null ? "" : own.account.name;
  status.textContent = text;
}

/** Does something that a person asked for; what fails is told where it began. */
function on(id, event, work) {
  byId(id).addEventListener(event, async (happened) => {
    happened.preventDefault();
    status.textContent = "One moment.";
    try {
      await work();
    } catch (error) {
      status.textContent = error.name === "NotAllowedError" ? "No passkey was shown." : error.message;
    }
  });
}

async function session() {
  try {
    own = await ask("GET", "/v1/session");
  } catch (error) {
    if (error.code !== "unauthenticated") throw error;
    own = null;
  }
}

function register() {
  const first = location.pathname === "/setup";
  byId("register-title").textContent = first ? "Set this platform up" : "Join an organisation";
  byId("register-organisation-field").hidden = !first;
  byId("register-organisation").required = first;
  show("register", "");
}

on("register-form", "submit", async () => {
  const name = byId("register-name").value;
  const asked = await ask("POST", "/v1/registration/challenge", { link, name });
  const passkey = await makePasskey(asked, name);
  const organisation = asked.organisation === undefined ? byId("register-organisation").value : null;
  own = await ask("POST", "/v1/registration", { link, name, organisation, passkey });
  history.replaceState(null, "", "/");
  await sessions(asked.organisation === undefined ? "The platform is yours." : `Welcome to ${asked.organisation}.`);
});

on("join-button", "click", async () => {
  const joined = await askWithProof("POST", "/v1/me/memberships", { link });
  history.replaceState(null, "", "/");
  await sessions(`Welcome to ${joined.name}.`);
});

on("sign-in-button", "click", async () => {
  own = await ask("POST", "/v1/sessions", await showPasskey());
  await open();
});

async function device() {
  const found = await ask("GET", `/v1/devices/${encodeURIComponent(link)}`);
  byId("device-code").textContent = found.user_code;
  byId("device-name").textContent = found.name;
  byId("device-scope").textContent = found.read_only
    ? "read everything that you may read, for 30 days"
    : "do everything that you may do, for 30 days";
  show("device", "");
}

on("device-approve", "click", async () => {
  await askWithProof("POST", `/v1/devices/${encodeURIComponent(link)}/approve`);
  show(null, "Approved. Go back to your terminal.");
});

on("device-refuse", "click", async () => {
  await ask("DELETE", `/v1/devices/${encodeURIComponent(link)}`);
  show(null, "Refused. The program gets nothing.");
});

async function sessions(text) {
  const page = await ask("GET", "/v1/sessions?limit=100");
  const list = byId("sessions-list");
  list.replaceChildren(...page.items.map(line));
  show("sessions", text);
}

function line(session) {
  const item = document.createElement("li");
  const when = document.createElement("small");
  when.textContent = `since ${new Date(session.created_ms).toLocaleString()}, until ${new Date(session.expires_ms).toLocaleString()}`;
  const end = document.createElement("button");
  end.className = "quiet";
  end.textContent = session.current ? "Sign out" : "End it";
  end.addEventListener("click", async () => {
    try {
      await ask("DELETE", `/v1/sessions/${session.id}`);
      if (session.current) own = null;
      await open();
    } catch (error) {
      status.textContent = error.message;
    }
  });
  item.append(session.current ? "This browser" : session.browser || "A browser", when, end);
  return item;
}

async function open() {
  if (own === null) await session();
  const path = location.pathname;
  if (own === null && (path === "/setup" || path === "/join")) return register();
  if (own === null) return show("sign-in", path === "/device" ? "A program asks to be let in." : "");
  if (path === "/join") return show("join", "");
  if (path === "/device") return device();
  return sessions("");
}

open().catch((error) => {
  status.textContent = error.message;
});

// Another link in the same tab.
addEventListener("hashchange", () => location.reload());
