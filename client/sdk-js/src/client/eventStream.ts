/** `text/event-stream`, as the HTML Standard reads it (section 9.2.6). */

/** An event of a stream. */
export interface StreamEvent {
  readonly type: string;
  readonly data: string;
  readonly lastEventId: string;
}

/** Text in, events out. */
export class EventStream {
  /** How long to wait before another connection, in milliseconds, where the stream said so. */
  retryMs: number | undefined;
  /** The last id that an event had, also of streams before. */
  lastEventId: string;
  readonly #decoder = new TextDecoder();
  #rest = "";
  #data: string[] = [];
  #held = 0;
  #type = "";
  #id: string;

  constructor(lastEventId = "") {
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /** The events that these bytes complete. Throws for one that has no end. */
  *feed(bytes: Uint8Array): Generator<StreamEvent, void, undefined> {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    // A CR at the end may be half of a line's end.
    const lines = (text.endsWith("\r") ? text.slice(0, -1) : text).split(/\r\n|\r|\n/);
    this.#rest = (lines.pop() ?? "") + (text.endsWith("\r") ? "\r" : "");
    if (this.#rest.length + this.#held > MAX_EVENT)
      throw new RangeError(`an event is longer than ${MAX_EVENT} characters`);
    for (const line of lines) {
      if (line !== "") this.#field(line);
      else yield* this.#dispatch();
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^\d{1,9}$/.test(value)) this.retryMs = Number(value);
    else if (name === "data") {
      this.#held += value.length + 1;
      this.#data.push(value);
    }
  }

  *#dispatch(): Generator<StreamEvent, void, undefined> {
    const [data, type] = [this.#data, this.#type];
    this.#data = [];
    this.#type = "";
    this.#held = 0;
    this.lastEventId = this.#id;
    if (data.length === 0) return;
    yield { type: type === "" ? "message" : type, data: data.join("\n"), lastEventId: this.lastEventId };
  }
}

/** The longest event, in characters. */
const MAX_EVENT = 16 * 1024 * 1024;
