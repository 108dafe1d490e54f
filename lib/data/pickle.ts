/**
 * Safe unpickler for CIFAR-10's python version: pickle protocol 2 as written by Python 2, with numpy arrays of bytes. It
 * calls nothing: the three numpy globals that occur are recognised, every other global or opcode is refused.
 *
 * Source: opcode definitions in Python's `pickletools`; `ndarray.__reduce__` and `dtype.__reduce__` of numpy.
 *
 * @module
 */

import { DataError } from "../errors.ts";

/** An unpickled value. Python 2 strings are bytes; lists and tuples are arrays; keys must be strings. */
export type PickleValue =
  | null
  | boolean
  | number
  | Uint8Array
  | PickleValue[]
  | Map<string, PickleValue>
  | PickleArray
  | PickleName;

/** A numpy array of unsigned bytes. */
export class PickleArray {
  /** Length of each dimension, outermost first. */
  shape: number[] = [];
  /** True if the first index varies fastest. */
  fortranOrder = false;
  /** The elements. */
  data: Uint8Array = new Uint8Array(0);
}

/** A recognised numpy global, or numpy's dtype of unsigned bytes. */
export type PickleName = { readonly name: "ndarray" | "reconstruct" | "dtype" | "u1" };

const NAMES: Readonly<Record<string, PickleName>> = {
  "numpy.core.multiarray _reconstruct": { name: "reconstruct" },
  "numpy ndarray": { name: "ndarray" },
  "numpy dtype": { name: "dtype" },
};

/** The protocol's other opcodes, for error messages. */
const REFUSED: Readonly<Record<number, string>> = {
  0x29: "EMPTY_TUPLE",
  0x30: "POP",
  0x31: "POP_MARK",
  0x32: "DUP",
  0x46: "FLOAT",
  0x47: "BINFLOAT",
  0x49: "INT",
  0x4c: "LONG",
  0x50: "PERSID",
  0x51: "BINPERSID",
  0x53: "STRING",
  0x56: "UNICODE",
  0x58: "BINUNICODE",
  0x64: "DICT",
  0x67: "GET",
  0x69: "INST",
  0x6c: "LIST",
  0x6f: "OBJ",
  0x70: "PUT",
  0x81: "NEWOBJ",
  0x82: "EXT1",
  0x83: "EXT2",
  0x84: "EXT4",
  0x8a: "LONG1",
  0x8b: "LONG4",
};

/** Limit on opcodes. A million images take four each; an opcode takes bounded time and a few words of memory. */
const MAX_OPCODES = 2 ** 22;
/** Longest global name or key in bytes; each reference to one decodes it. */
const MAX_NAME_BYTES = 255;
/** Limit on the dimensions of an array, as in numpy. */
const MAX_DIMENSIONS = 32;

/**
 * Reads one pickle, in time and memory proportional to the file for any input.
 *
 * @param bytes the whole file
 * @param file file name for errors
 * @returns the value; byte strings are views into `bytes`
 * @throws {DataError} naming file and byte, if the pickle is cut short or uses anything that CIFAR-10's files do not
 */
export function readPickle(bytes: Uint8Array, file: string): PickleValue {
  return new PickleReader(bytes, file).read();
}

class PickleReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  /** Next byte to read. */
  #position = 0;
  /** First byte of the current opcode. */
  #start = 0;
  #stack: PickleValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
  }

  read(): PickleValue {
    if (this.#byte() !== 0x80) this.#fail("not a pickle of protocol 2 (no PROTO opcode)");
    const protocol = this.#byte();
    if (protocol !== 2) this.#fail(`pickle protocol ${protocol}, expected 2`);
    for (let opcodes = 0;; opcodes++) {
      this.#start = this.#position;
      if (opcodes === MAX_OPCODES) this.#fail(`more than ${MAX_OPCODES} opcodes`);
      const opcode = this.#byte();
      if (opcode === 0x2e) break; // STOP
      this.#step(opcode);
    }
    const value = this.#pop();
    if (this.#stack.length > 0) this.#fail("the pickle ends with values left over");
    if (this.#position !== this.#bytes.length) {
      this.#fail(`${this.#bytes.length - this.#position} bytes follow the pickle's end`);
    }
    return value;
  }

  #step(opcode: number): void {
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
        const name = REFUSED[opcode] ?? "unknown";
        this.#fail(
          `opcode 0x${opcode.toString(16)} (${name}) does not occur in CIFAR-10's files and is refused`,
        );
      }
    }
  }

  /** `_reconstruct(ndarray, (0,), 'b')` gives an empty array, `dtype('u1', …)` the dtype of unsigned bytes. */
  #reduce(): void {
    const [callee, args] = this.#popMany(2);
    if (!Array.isArray(args)) this.#fail("REDUCE without a tuple of arguments");
    if (isName(callee, "reconstruct") && isName(args[0], "ndarray")) return this.#push(new PickleArray());
    if (isName(callee, "dtype") && args[0] instanceof Uint8Array && this.#text(args[0]) === "u1") {
      return this.#push({ name: "u1" });
    }
    this.#fail("REDUCE of something that is not a numpy array of unsigned bytes is refused");
  }

  /** State of an array: `(1, shape, dtype, fortranOrder, data)`. The dtype's own state is ignored. */
  #build(): void {
    const [state] = this.#popMany(1);
    const target = this.#top();
    if (!Array.isArray(state)) this.#fail("BUILD without a tuple");
    if (isName(target, "u1")) return;
    if (!(target instanceof PickleArray)) {
      this.#fail("BUILD of something that is not a numpy array is refused");
    }
    const [, shape, type, fortranOrder, data] = state;
    if (!isName(type, "u1")) this.#fail("numpy array: expected unsigned bytes (dtype u1)");
    if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isCount)) {
      this.#fail(`numpy array: expected a shape of at most ${MAX_DIMENSIONS} numbers`);
    }
    if (!(data instanceof Uint8Array) || data.length !== shape.reduce((product, n) => product * n, 1)) {
      const found = data instanceof Uint8Array ? `${data.length} bytes` : "no bytes";
      this.#fail(`numpy array: ${found} do not fill the shape [${shape}]`);
    }
    target.shape = [...shape]; // the pickle may change its own later
    target.fortranOrder = fortranOrder === true;
    target.data = data;
  }

  #name(): PickleName {
    const module = this.#line();
    const qualified = `${module} ${this.#line()}`;
    const name = Object.hasOwn(NAMES, qualified) ? NAMES[qualified] : undefined;
    return name ?? this.#fail(`the pickle refers to ${JSON.stringify(qualified)}, which is refused`);
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
      if (!(key instanceof Uint8Array)) this.#fail("a key that is not a string");
      dictionary.set(this.#text(key), values[i + 1]!); // the length is even
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
    throw new DataError(`${this.#file}: byte ${this.#start}: ${what}`);
  }
}

function isName(value: PickleValue | undefined, name: PickleName["name"]): boolean {
  return value !== null && typeof value === "object" && "name" in value && value.name === name;
}

function isCount(value: PickleValue): value is number {
  return typeof value === "number" && value >= 0;
}
