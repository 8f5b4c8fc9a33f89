/** What platforms have of their own in pages, and Node does not. */

/** An `error` event that says why. */
export class EnclaveErrorEvent extends Event {
  /** A `SteveError` where the enclave or the host is to blame. */
  readonly error: unknown;

  constructor(error: unknown) {
    super("error");
    this.error = error;
  }
}

/** As the platform's `CloseEvent`. */
export class EnclaveCloseEvent extends Event {
  readonly code: number;
  readonly reason: string;
  /** Whether the other side inside the enclave said that it closes. */
  readonly wasClean: boolean;

  constructor(code: number, reason: string, wasClean: boolean) {
    super("close");
    this.code = code;
    this.reason = reason;
    this.wasClean = wasClean;
  }
}

type Handler<Named extends Event> = ((event: Named) => void) | null;

/** An `EventTarget` whose events go to its `on…` attributes, too. */
export class Target extends EventTarget {
  onopen: Handler<Event> = null;
  onmessage: Handler<MessageEvent> = null;
  onerror: Handler<EnclaveErrorEvent> = null;
  onclose: Handler<EnclaveCloseEvent> = null;

  protected emit(event: Event): void {
    const handlers = { open: this.onopen, message: this.onmessage, error: this.onerror, close: this.onclose };
    (handlers as Readonly<Record<string, Handler<Event> | undefined>>)[event.type]?.call(this, event);
    this.dispatchEvent(event);
  }
}
