/**
 * Zip archives in memory, of entries that are stored without compression, as PyTorch writes them. yauzl reads the archive's
 * directory; entries are views of the file, with their checksums verified. No name in an archive becomes a path.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { CheckpointError } from "../errors.ts";

/** The part of yauzl's entries that is used here. */
interface ZipEntry {
  readonly fileName: string;
  readonly compressionMethod: number;
  readonly compressedSize: number;
  readonly uncompressedSize: number;
  readonly crc32: number;
  isEncrypted(): boolean;
}

/** Likewise, of an archive. */
interface ZipFile {
  eachEntry(): AsyncIterable<ZipEntry>;
  readLocalFileHeaderPromise(
    entry: ZipEntry,
    options: { readonly minimal: true },
  ): Promise<{ readonly fileDataStart: number }>;
}

/** Limit on entries: a network has a few per tensor. */
const MAX_ENTRIES = 2 ** 17;

/** An archive's entries. */
export class StoredZip {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #source: string;
  readonly #zip: ZipFile;
  readonly #entries: ReadonlyMap<string, ZipEntry>;

  private constructor(
    bytes: Uint8Array<ArrayBuffer>,
    source: string,
    zip: ZipFile,
    entries: ReadonlyMap<string, ZipEntry>,
  ) {
    this.#bytes = bytes;
    this.#source = source;
    this.#zip = zip;
    this.#entries = entries;
  }

  /**
   * Reads an archive's directory.
   *
   * @param bytes the whole file
   * @param source its name, for errors
   * @throws {CheckpointError} if the archive is damaged, or has a name twice
   */
  static async open(bytes: Uint8Array<ArrayBuffer>, source: string): Promise<StoredZip> {
    try {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      // Loaded when needed: most programs open no archive.
      const { default: yauzl } = await import("yauzl");
      const zip: ZipFile = await yauzl.fromBufferPromise(buffer, { lazyEntries: true });
      return new StoredZip(bytes, source, zip, await entriesOf(zip));
    } catch (error) {
      throw new CheckpointError(`${source}: a damaged zip file: ${(error as Error).message}`);
    }
  }

  /** Names of the entries, in order. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /**
   * An entry's bytes, a view of the file; undefined if there is none of that name.
   *
   * @throws {CheckpointError} if it is compressed, encrypted or damaged
   */
  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const entry = this.#entries.get(name);
    if (!entry) return undefined;
    const fail = (what: string): never => {
      throw new CheckpointError(`${this.#source}: ${name}: ${what}`);
    };
    if (entry.isEncrypted()) fail("encrypted");
    if (entry.compressionMethod !== 0 || entry.compressedSize !== entry.uncompressedSize) {
      fail("compressed; expected entries as torch.save stores them, without compression");
    }
    const { fileDataStart: start } = await this.#zip.readLocalFileHeaderPromise(entry, { minimal: true })
      .catch((error: Error) => fail(error.message));
    const data = this.#bytes.subarray(start, start + entry.compressedSize);
    if (data.length !== entry.compressedSize || crc32(data) !== entry.crc32) {
      fail("damaged: its checksum differs");
    }
    return data;
  }
}

async function entriesOf(zip: ZipFile): Promise<Map<string, ZipEntry>> {
  const entries = new Map<string, ZipEntry>();
  for await (const entry of zip.eachEntry()) {
    if (entries.has(entry.fileName)) throw new Error(`${JSON.stringify(entry.fileName)} is there twice`);
    if (entries.size === MAX_ENTRIES) throw new Error(`more than ${MAX_ENTRIES} entries`);
    entries.set(entry.fileName, entry);
  }
  return entries;
}
