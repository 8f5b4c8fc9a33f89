/** A host between clients and a server of STEVE, which passes on what it likes. */

import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** An answer, whole. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** What the host does with a request; `pass` asks the server, as often as it is called. */
export type Between = (path: string, pass: () => Promise<Answer>) => Promise<Answer | undefined>;

/** Runs `visit` with the address of a host in front of `to`. Where `between` gives no answer the connection breaks. */
export async function between(to: string, act: Between, visit: (url: string) => Promise<void>): Promise<void> {
  const server = createServer((incoming, outgoing) => void answered(to, act, incoming, outgoing));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await visit(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function answered(to: string, act: Between, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const body = await whole(incoming);
  const { method, url = "", headers } = incoming;
  const pass = async (): Promise<Answer> => {
    const asked = request(`${to}${url}`, { method, headers });
    asked.end(body);
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: await whole(answer) };
  };
  const answer = await act(url, pass);
  if (answer === undefined) {
    incoming.socket.destroy();
    return;
  }
  const { "transfer-encoding": _, ...passed } = answer.headers;
  outgoing.writeHead(answer.status, { ...passed, "content-length": answer.body.length }).end(answer.body);
}

async function whole(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
