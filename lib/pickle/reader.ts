/**
 * Restricted unpickler: pickle protocol 2 as data, without any code of the file being run. The opcodes and globals of a kind of
 * file are its {@linkcode PickleDialect}; everything else is refused by name.
 *
 * Source: opcode definitions in Python's `pickletools`.
 *
 * @module
 */

import { type PickleDialect, PickleGlobal, PickleRefusal, type PickleValue } from "./dialect.ts";
import { OPTIONAL_OPCODES, type PickleOpcode, REFUSED_OPCODES } from "./opcodes.ts";

/** Limit on opcodes. A million images take four each; an opcode takes bounded time and a few words of memory. */
const MAX_OPCODES = 2 ** 22;
/** Longest global name, or key given as bytes; each reference to one decodes it. */
const MAX_NAME_BYTES = 255;

/** A pickle and where it ends. */
export interface Unpickled {
  /** The value; byte strings are views of the file. */
  readonly value: PickleValue;
  /** First byte after it. */
  readonly end: number;
}

/**
 * Reads one pickle, in time and memory proportional to its length for any input.
 *
 * @param bytes the whole file
 * @param file file name for errors
 * @param start first byte of the pickle
 * @throws the dialect's error, naming file and byte, if the pickle is cut short or holds anything outside of the dialect
 */
export function unpickle(bytes: Uint8Array, file: string, dialect: PickleDialect, start = 0): Unpickled {
  return new PickleReader(bytes, file, dialect, start).read();
}

class PickleReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  readonly #dialect: PickleDialect;
  readonly #optional: ReadonlySet<PickleOpcode>;
  /** Next byte to read. */
  #position: number;
  /** First byte of the current opcode. */
  #start = 0;
  readonly #stack: PickleValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();

  constructor(bytes: Uint8Array, file: string, dialect: PickleDialect, start: number) {
    this.#dialect = dialect;
    this.#optional = new Set(dialect.opcodes);
    this.#position = this.#start = start;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
  }

  read(): Unpickled {
    if (this.#byte() !== 0x80) this.#fail("not a pickle of protocol 2 (no PROTO opcode)");
    const protocol = this.#byte();
    if (protocol !== 2) this.#fail(`pickle protocol ${protocol}, expected 2`);
    for (let opcodes = 0;; opcodes++) {
      this.#start = this.#position;
      if (opcodes === MAX_OPCODES) this.#fail(`more than ${MAX_OPCODES} opcodes`);
      const opcode = this.#byte();
      if (opcode === 0x2e) break; // STOP
      try {
        this.#step(opcode);
      } catch (error) {
        throw error instanceof PickleRefusal ? this.#error(error.message) : error;
      }
    }
    const value = this.#pop();
    if (this.#stack.length > 0) this.#fail("the pickle ends with values left over");
    return { value, end: this.#position };
  }

  #step(opcode: number): void {
    const optional = OPTIONAL_OPCODES[opcode];
    if (optional !== undefined && this.#optional.has(optional)) return this.#stepOptional(optional);
    switch (opcode) {
      case 0x28: // MARK
        this.#marks.push(this.#stack.length);
        break;
      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      case 0x4b: // BININT1
        return this.#push(this.#byte());
      case 0x4d: // BININT2
        return this.#push(this.#view.getUint16(this.#skip(2), true));
      case 0x4a: // BININT
        return this.#push(this.#view.getInt32(this.#skip(4), true));
      case 0x55: // SHORT_BINSTRING
        return this.#push(this.#take(this.#byte()));
      case 0x54: // BINSTRING
        return this.#push(this.#take(this.#length()));
      case 0x5d: // EMPTY_LIST
        return this.#push([]);
      case 0x7d: // EMPTY_DICT
        return this.#push(new Map());
      case 0x74: // TUPLE
        return this.#push(this.#popToMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.#push(this.#popMany(opcode - 0x84));
      case 0x61: // APPEND
        return this.#append(this.#popMany(1));
      case 0x65: // APPENDS
        return this.#append(this.#popToMark());
      case 0x73: // SETITEM
        return this.#setItems(this.#popMany(2));
      case 0x75: // SETITEMS
        return this.#setItems(this.#popToMark());
      case 0x71: // BINPUT
        this.#memo.set(this.#byte(), this.#top());
        break;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#length(), this.#top());
        break;
      case 0x68: // BINGET
        return this.#push(this.#recall(this.#byte()));
      case 0x6a: // LONG_BINGET
        return this.#push(this.#recall(this.#length()));
      case 0x63: // GLOBAL
        return this.#push(this.#name());
      case 0x52: // REDUCE
        return this.#reduce();
      case 0x62: // BUILD
        return this.#build();
      default: {
        const name = optional ?? REFUSED_OPCODES[opcode] ?? "unknown";
        const { files } = this.#dialect;
        this.#fail(`opcode 0x${opcode.toString(16)} (${name}) does not occur in ${files} and is refused`);
      }
    }
  }

  #stepOptional(opcode: PickleOpcode): void {
    switch (opcode) {
      case "EMPTY_TUPLE":
        return this.#push([]);
      case "BINFLOAT":
        return this.#push(this.#view.getFloat64(this.#skip(8), false));
      case "BINUNICODE":
        return this.#push(this.#unicode(this.#take(this.#length())));
      case "LONG1":
        return this.#push(this.#long(this.#take(this.#byte())));
      case "BINPERSID": {
        const [id] = this.#popMany(1);
        if (!this.#dialect.persistent) this.#fail("a persistent id, which is refused");
        return this.#push(this.#dialect.persistent(id!)); // popMany returns exactly one
      }
    }
  }

  #reduce(): void {
    const [callee, args] = this.#popMany(2);
    if (!Array.isArray(args)) this.#fail("REDUCE without a tuple of arguments");
    if (!(callee instanceof PickleGlobal) || !callee.call) {
      this.#fail("REDUCE of something that is not a known function is refused");
    }
    this.#push(callee.call(args));
  }

  #build(): void {
    const [state] = this.#popMany(1);
    this.#dialect.build(this.#top(), state!); // popMany returns exactly one
  }

  #name(): PickleGlobal {
    const module = this.#line();
    const qualified = `${module} ${this.#line()}`;
    const { globals } = this.#dialect;
    const known = Object.hasOwn(globals, qualified) ? globals[qualified] : undefined;
    return known ?? this.#fail(`the pickle refers to ${JSON.stringify(qualified)}, which is refused`);
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#position);
    if (end < 0) this.#fail("ends inside a name");
    const text = this.#text(this.#take(end - this.#position));
    this.#skip(1);
    return text;
  }

  /** Decodes a Python 2 string that is a name or key. */
  #text(bytes: Uint8Array): string {
    if (bytes.length > MAX_NAME_BYTES) {
      this.#fail(`a name of ${bytes.length} bytes, expected at most ${MAX_NAME_BYTES}`);
    }
    return new TextDecoder("latin1").decode(bytes);
  }

  #unicode(bytes: Uint8Array): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.#fail("text that is not UTF-8");
    }
  }

  /** A signed little-endian integer; rounded beyond 2^53. */
  #long(bytes: Uint8Array): number {
    const magnitude = bytes.reduceRight((sum, byte) => (sum << 8n) + BigInt(byte), 0n);
    return Number(BigInt.asIntN(8 * bytes.length, magnitude));
  }

  #append(values: PickleValue[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) this.#fail("appends to something that is not a list");
    for (const value of values) list.push(value);
  }

  #setItems(values: PickleValue[]): void {
    const dictionary = this.#top();
    if (!(dictionary instanceof Map)) this.#fail("sets a key of something that is not a dictionary");
    if (values.length % 2 !== 0) this.#fail("a key without a value");
    for (let i = 0; i < values.length; i += 2) {
      const key = values[i];
      const name = key instanceof Uint8Array ? this.#text(key) : key;
      if (typeof name !== "string" && typeof name !== "number") {
        this.#fail("a key that is not a string or number");
      }
      dictionary.set(name, values[i + 1]!); // the length is even
    }
  }

  #recall(slot: number): PickleValue {
    const value = this.#memo.get(slot);
    return value === undefined ? this.#fail(`memo ${slot} was never stored`) : value;
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    return value === undefined ? this.#fail("a value is missing") : value;
  }

  #pop(): PickleValue {
    const [value] = this.#popMany(1);
    return value!; // popMany returns exactly one
  }

  /** Pops values, none from below the last mark. */
  #popMany(count: number): PickleValue[] {
    const floor = this.#marks.at(-1) ?? 0;
    if (this.#stack.length - count < floor) this.#fail("a value is missing");
    return this.#stack.splice(this.#stack.length - count);
  }

  #popToMark(): PickleValue[] {
    const mark = this.#marks.pop();
    return mark === undefined ? this.#fail("a MARK is missing") : this.#stack.splice(mark);
  }

  /** Reads a length or memo index: uint32, little-endian. */
  #length(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #byte(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  #take(count: number): Uint8Array {
    const from = this.#skip(count);
    return this.#bytes.subarray(from, from + count);
  }

  /** Skips `count` bytes and returns the position of the first. */
  #skip(count: number): number {
    const from = this.#position;
    if (from + count > this.#bytes.length) {
      this.#fail(`cut short: expected ${count} bytes at byte ${from}, the file has ${this.#bytes.length}`);
    }
    this.#position = from + count;
    return from;
  }

  #fail(what: string): never {
    throw this.#error(what);
  }

  #error(what: string): Error {
    return this.#dialect.error(`${this.#file}: byte ${this.#start}: ${what}`);
  }
}
