/** PyTorch checkpoints made by hand, byte for byte, so that tests can damage any part of them. */
import { crc32, deflateRawSync } from "node:zlib";

/** A part of a pickle: a byte, or latin1 text. */
export type PicklePart = number | string;

/** A pickle of protocol 2 with the given opcodes. */
export function pickleOf(...parts: readonly PicklePart[]): Uint8Array<ArrayBuffer> {
  const bytes = parts.flatMap((part) =>
    typeof part === "number" ? [part] : [...part].map((letter) => letter.charCodeAt(0))
  );
  return Uint8Array.from([0x80, 2, ...bytes]);
}

/** Text of Python 3 (BINUNICODE), of fewer than 256 letters. */
export function unicode(text: string): PicklePart[] {
  return ["X", text.length, 0, 0, 0, text];
}

/** A whole number (LONG1 of eight bytes). */
export function long(value: number): PicklePart[] {
  return [0x8a, 8, ...new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)];
}

/** A persistent id of a storage. */
export function storage(key: string, elements: number, type = "FloatStorage"): PicklePart[] {
  return [
    "(",
    ...unicode("storage"),
    `ctorch\n${type}\n`,
    ...unicode(key),
    ...unicode("cpu"),
    ...long(elements),
    "tQ",
  ];
}

/** A tensor's parts. */
export interface TensorParts {
  readonly storage?: PicklePart[];
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
}

/** A tensor, by default two numbers of storage "0". */
export function tensor(
  { storage: of = storage("0", 2), offset = 0, shape = [2], strides = [1] }: TensorParts = {},
): PicklePart[] {
  const tuple = (values: readonly number[]) => ["(", ...values.flatMap(long), "t"];
  return [
    ...["ctorch._utils\n_rebuild_tensor_v2\n(", ...of, ...long(offset), ...tuple(shape), ...tuple(strides)],
    ...[0x89, "ccollections\nOrderedDict\n)RtR"],
  ];
}

/** A dictionary; keys are text. */
export function dictionary(entries: Readonly<Record<string, PicklePart[]>>): PicklePart[] {
  return ["}(", ...Object.entries(entries).flatMap(([name, value]) => [...unicode(name), ...value]), "u"];
}

/** Entries of a zip file by name. */
export type ZipEntries = Readonly<Record<string, Uint8Array | string>>;

/** A zip file; `method` 8 deflates, others store the entries and are what the headers say. */
export function zipOf(entries: ZipEntries, method = 0): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  const header = (
    signature: number,
    name: Uint8Array,
    raw: Uint8Array,
    data: Uint8Array,
    central: boolean,
  ) => {
    const view = new DataView(new ArrayBuffer(central ? 46 : 30));
    const at = central ? 2 : 0;
    view.setUint32(0, signature, true);
    if (central) view.setUint16(4, 20, true);
    view.setUint16(at + 4, 20, true);
    view.setUint16(at + 8, method, true);
    view.setUint32(at + 14, crc32(raw), true);
    view.setUint32(at + 18, data.length, true);
    view.setUint32(at + 22, raw.length, true);
    view.setUint16(at + 26, name.length, true);
    if (central) view.setUint32(42, offset, true);
    return new Uint8Array(view.buffer);
  };
  for (const [path, content] of Object.entries(entries)) {
    const name = new TextEncoder().encode(path);
    const raw = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const data = method === 8 ? deflateRawSync(raw) : raw;
    directory.push(header(0x02014b50, name, raw, data, true), name);
    const local = [header(0x04034b50, name, raw, data, false), name, data];
    parts.push(...local);
    offset += local.reduce((sum, { length }) => sum + length, 0);
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  for (const at of [8, 10]) end.setUint16(at, Object.keys(entries).length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return joined([...parts, ...directory, new Uint8Array(end.buffer)]);
}

/** A checkpoint with a pickle and storages of float32 by key, in a zip file. */
export function torchZip(
  pickle: readonly PicklePart[],
  storages: Readonly<Record<string, readonly number[]>> = { "0": [1, 2] },
): Uint8Array<ArrayBuffer> {
  const data = Object.entries(storages).map(([key, values]) => [
    `archive/data/${key}`,
    new Uint8Array(Float32Array.from(values).buffer),
  ]);
  return zipOf({ "archive/data.pkl": pickleOf(...pickle, "."), ...Object.fromEntries(data) });
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
