/**
 * JSON header of a safetensors file: parsing, and validation of its entries.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import { bytesPerElement, type Dtype, DTYPES, elementCount, isDtype, isSizes } from "./dtypes.ts";

/** Key of the metadata in a header. */
export const METADATA_KEY = "__metadata__";

/** A tensor of a header. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: number[];
  /** First byte in the data. */
  readonly begin: number;
  /** One after its last byte. */
  readonly end: number;
}

/** Contents of a header. */
export interface Header {
  readonly metadata: Record<string, string>;
  /** In the order of their data. */
  readonly entries: readonly HeaderEntry[];
}

/**
 * Decodes a header.
 *
 * @param source the file's name, for messages
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 */
export function decodeHeader(bytes: Uint8Array<ArrayBuffer>, source: string): Header {
  const header = parseHeader(bytes, source);
  const metadata = Object.hasOwn(header, METADATA_KEY) ? header[METADATA_KEY] : {};
  if (!isStringRecord(metadata)) {
    throw new CheckpointError(`${source}: ${METADATA_KEY} must map names to text`);
  }
  const entries = Object.entries(header).filter(([name]) => name !== METADATA_KEY)
    .map(([name, value]) => checkEntry(name, value, source));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  return { metadata, entries };
}

function parseHeader(bytes: Uint8Array<ArrayBuffer>, source: string): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(`${source}: the header is not JSON: ${(error as Error).message}`);
  }
  if (!isRecord(header)) throw new CheckpointError(`${source}: the header is not a JSON object`);
  const repeated = repeatedKey(text);
  if (repeated !== undefined) {
    throw new CheckpointError(`${source}: the header has ${JSON.stringify(repeated)} twice`);
  }
  return header;
}

/** First duplicate key in an object of well-formed JSON, of which `JSON.parse` would silently take the last value. */
function repeatedKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  for (let at = 0; at < json.length; at++) {
    if (json[at] === "{") open.push(new Set());
    else if (json[at] === "}") open.pop();
    else if (json[at] === '"') {
      const start = at;
      while (json[++at] !== '"') if (json[at] === "\\") at++;
      let next = at + 1;
      while (" \t\r\n".includes(json[next]!)) next++; // ends: well-formed JSON does not end after a string in an object
      if (json[next] !== ":") continue;
      const name: string = JSON.parse(json.slice(start, at + 1));
      const keys = open.at(-1);
      if (keys?.has(name)) return name;
      keys?.add(name);
    }
  }
}

function checkEntry(name: string, value: unknown, source: string): HeaderEntry {
  const fail = (what: string): never => {
    throw new CheckpointError(`${source}: tensor ${JSON.stringify(name)}: ${what}`);
  };
  if (!isRecord(value)) return fail("its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) {
    return fail(`unknown dtype ${JSON.stringify(dtype)}, expected one of ${DTYPES.join(", ")}`);
  }
  if (!isSizes(shape)) {
    return fail(`shape ${JSON.stringify(shape)} is not a list of whole numbers of 0 or more`);
  }
  const [begin, end, ...others] = isSizes(offsets) ? offsets : [];
  if (begin === undefined || end === undefined || others.length > 0 || begin > end) {
    return fail(`data_offsets ${JSON.stringify(offsets)} is not a pair [begin, end]`);
  }
  const bytes = elementCount(shape) * bytesPerElement(dtype);
  if (bytes !== end - begin) {
    return fail(`shape [${shape}] of ${dtype} takes ${bytes} bytes, data_offsets give it ${end - begin}`);
  }
  return { name, dtype, shape, begin, end };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isStringRecord(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === "string");
}
