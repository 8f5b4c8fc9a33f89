/** Every refusal, by name. `specs/steve.md` §8 lists them; Rust's `caution-steve` has the same names and words. */

/** What each refusal of a list of key configurations carries. */
export interface KeyConfigValues {
  TooLong: { length: number };
  Malformed: { at: number };
  Count: { found: number };
  UnknownSuite: { index: number };
  DuplicateId: { keyId: number };
}

/** What each refusal of a handshake carries. */
export interface HandshakeValues {
  Malformed: { what: string };
  Key: { what: string };
  NotAuthentic: { what: string };
  Confirmation: object;
  Instance: object;
  Limit: { what: string; value: number; least: number; most: number };
}

/** What each refusal of a stream of records carries. */
export interface RecordValues {
  Length: object;
  TooLong: { length: number; most: number };
  NotAuthentic: object;
  Type: { found: number };
  Truncated: object;
  MalformedError: object;
  AfterEnd: object;
}

/** What each refusal of a message carries. */
export interface MessageValues {
  Length: object;
  Framing: { found: number };
  Control: { what: string };
  Status: { found: number };
  HeadTooLong: object;
  TooManyFields: object;
  FieldName: object;
  FieldValue: { field: string };
  ConnectionField: { field: string };
  ContentLength: object;
  Truncated: object;
  AfterEnd: object;
}

type Name<Values> = keyof Values & string;
type Words<Values> = { readonly [One in keyof Values]: (values: Values[One]) => string };

abstract class Refusal<Values, Own extends Name<Values>> extends Error {
  override readonly name: Own;
  readonly values: Readonly<Values[Own]>;

  constructor(words: Words<Values>, name: Own, values: Values[Own]) {
    super(words[name](values));
    this.name = name;
    this.values = values;
  }

  /** Whether it is the refusal of this name, with its values. */
  is<Wanted extends Name<Values>>(name: Wanted): this is this & { name: Wanted; values: Values[Wanted] } {
    return (this.name as string) === name;
  }
}

/** Why bytes are no list of key configurations. */
export class KeyConfigError<Own extends Name<KeyConfigValues> = Name<KeyConfigValues>> extends Refusal<
  KeyConfigValues,
  Own
> {
  constructor(name: Own, values: KeyConfigValues[Own]) {
    super(KEY_CONFIG, name, values);
  }
}

/** Why a handshake failed. */
export class HandshakeError<Own extends Name<HandshakeValues> = Name<HandshakeValues>> extends Refusal<
  HandshakeValues,
  Own
> {
  constructor(name: Own, values: HandshakeValues[Own]) {
    super(HANDSHAKE, name, values);
  }
}

/** Why a stream of records broke, or ended before its end. */
export class RecordError<Own extends Name<RecordValues> = Name<RecordValues>> extends Refusal<RecordValues, Own> {
  constructor(name: Own, values: RecordValues[Own]) {
    super(RECORD, name, values);
  }
}

/** Why bytes are no message, or a message may not pass. */
export class MessageError<Own extends Name<MessageValues> = Name<MessageValues>> extends Refusal<MessageValues, Own> {
  constructor(name: Own, values: MessageValues[Own]) {
    super(MESSAGE, name, values);
  }
}

/** The longest list of key configurations that is read, in bytes. */
export const MAX_KEY_CONFIGS = 4096;
/** The most configurations in a list. */
export const MAX_CONFIGS = 4;
/** The longest head, and the longest trailers, in bytes. */
export const MAX_HEAD = 64 * 1024;
/** The most fields of either. */
export const MAX_FIELDS = 256;

const KEY_CONFIG: Words<KeyConfigValues> = {
  TooLong: (v) => `the list of key configurations has ${v.length} bytes (at most ${MAX_KEY_CONFIGS})`,
  Malformed: (v) => `the list of key configurations is malformed at byte ${v.at}`,
  Count: (v) => `the list has ${v.found} key configurations (1 to ${MAX_CONFIGS})`,
  UnknownSuite: (v) => `key configuration ${v.index} is of no suite that is known`,
  DuplicateId: (v) => `two key configurations have the id ${v.keyId}`,
};

const HANDSHAKE: Words<HandshakeValues> = {
  Malformed: (v) => `the ${v.what} is malformed`,
  Key: (v) => `the ${v.what} is none of this suite`,
  NotAuthentic: (v) => `the ${v.what} does not authenticate`,
  Confirmation: () => "the server's confirmation is wrong: it does not hold the attested key",
  Instance: () => "another instance answered than the attested one",
  Limit: (v) => `${v.what} is ${v.value}, outside ${v.least} to ${v.most}`,
};

const RECORD: Words<RecordValues> = {
  Length: () => "a chunk's length is not in its shortest form of at most four bytes",
  TooLong: (v) => `a chunk has ${v.length} bytes (at most ${v.most})`,
  NotAuthentic: () => "a chunk does not authenticate",
  Type: (v) => `a chunk is of type 0x${v.found.toString(16).padStart(2, "0")}, which is none`,
  Truncated: () => "the stream ended before its final chunk: it was cut",
  MalformedError: () => "a sealed error is malformed",
  AfterEnd: () => "the stream goes on after its end",
};

const MESSAGE: Words<MessageValues> = {
  Length: () => "a length is not in its shortest form of at most four bytes",
  Framing: (v) => `the message begins with ${v.found}, which is not what is expected here`,
  Control: (v) => `the ${v.what} of the request is malformed`,
  Status: (v) => `the status is ${v.found} (100 to 599)`,
  HeadTooLong: () => `the fields take more than ${MAX_HEAD} bytes`,
  TooManyFields: () => `there are more than ${MAX_FIELDS} fields`,
  FieldName: () => "a field's name is malformed",
  FieldValue: (v) => `the value of field \`${v.field}\` is malformed`,
  ConnectionField: (v) => `field \`${v.field}\` speaks of a connection and may not pass`,
  ContentLength: () => "the content-length is not the content's",
  Truncated: () => "the message ended before its end",
  AfterEnd: () => "the message goes on after its end",
};

/** The names of every refusal, by kind of error. */
export const REFUSALS = {
  KeyConfigError: Object.keys(KEY_CONFIG),
  HandshakeError: Object.keys(HANDSHAKE),
  RecordError: Object.keys(RECORD),
  MessageError: Object.keys(MESSAGE),
} as const;
