/**
 * The parts of a bundle: files packed as tar, compressed, and cut into pieces whose digests are known.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { createTarPacker } from "modern-tar";
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import type { CommandLine } from "./stages.ts";

/** A file of a part. */
export interface Entry {
  /** Where it goes, relative to the folder that the bundle is unpacked to, with `/`. */
  readonly path: string;
  /** The file it is copied from, or what it holds. */
  readonly source: string | Uint8Array;
}

/** How parts are compressed. */
export const COMPRESSIONS = ["xz", "gzip", "none"] as const;
/** One of {@linkcode COMPRESSIONS}. */
export type Compression = typeof COMPRESSIONS[number];

/** Suffix of the file name and the command that compresses from standard input to standard output. */
const FORMATS: Readonly<Record<Compression, { suffix: string; command?: CommandLine }>> = {
  xz: { suffix: ".xz", command: ["xz", "-6", "-c"] },
  gzip: { suffix: ".gz", command: ["gzip", "-6", "-n", "-c"] },
  none: { suffix: "" },
};

/** A file of the bundle. */
export interface ArchivePiece {
  readonly file: string;
  readonly bytes: number;
  /** Digest in hex. */
  readonly sha256: string;
}

/** What a part became. */
export interface PackedPart {
  /** In the order in which they are joined. */
  readonly pieces: readonly ArchivePiece[];
  /** Bytes of its files before packing. */
  readonly unpackedBytes: number;
}

/** Options of {@linkcode packPart}. */
export interface PackOptions {
  readonly compression: Compression;
  /** Largest size of a piece in bytes; one piece of any size if not given. */
  readonly pieceBytes?: number;
  /** Ends packing with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Packs files into `FOLDER/NAME.tar…`, cut into `….000`, `….001` and so on where a size of pieces is given.
 *
 * @param folder where the pieces go
 * @param name the part's name
 * @param entries its files, in the order in which they are packed
 * @throws {ConfigError} if the program that compresses is not installed
 * @throws {DenoiseError} if it fails
 */
export async function packPart(
  folder: string,
  name: string,
  entries: readonly Entry[],
  options: PackOptions,
): Promise<PackedPart> {
  const { compression, pieceBytes, signal } = options;
  const { suffix, command } = FORMATS[compression];
  const { readable, controller } = createTarPacker();
  const stop = () => controller.error(signal!.reason);
  signal?.throwIfAborted();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const compressed = command ? compress(readable, command, signal) : readable;
    const packing = packAll(entries, controller);
    const cutting = cut(compressed, folder, `${name}.tar${suffix}`, pieceBytes);
    // What fails first is the reason; the other then fails because of it.
    const [unpackedBytes, pieces] = await Promise.all([packing, cutting]);
    return { pieces, unpackedBytes };
  } catch (error) {
    controller.error(error);
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

type Packer = ReturnType<typeof createTarPacker>["controller"];

/** Adds all files to the archive; the sum of their bytes. */
async function packAll(entries: readonly Entry[], packer: Packer): Promise<number> {
  let bytes = 0;
  for (const { path, source } of entries) {
    if (typeof source !== "string") {
      const writer = packer.add({ name: path, size: source.length, mode: 0o644 }).getWriter();
      await writer.write(source);
      await writer.close();
      bytes += source.length;
      continue;
    }
    using file = await Deno.open(source);
    const { size, mode, mtime } = await file.stat();
    const header = { name: path, size, mode: (mode ?? 0) & 0o100 ? 0o755 : 0o644, mtime: mtime ?? undefined };
    const body = packer.add(header);
    // A file that grows or shrinks meanwhile is an error of the packer, which names sizes but no file.
    await file.readable.pipeTo(body).catch((error) => {
      throw new DenoiseError(`${source}: could not be packed: ${(error as Error).message}`, { cause: error });
    });
    bytes += size;
  }
  packer.finalize();
  return bytes;
}

/** `input` through a program. */
function compress(
  input: ReadableStream<Uint8Array>,
  [program, ...args]: CommandLine,
  signal?: AbortSignal,
): ReadableStream<Uint8Array> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args: [...args],
      signal,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    })
      .spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const others = COMPRESSIONS.filter((other) => other !== program).join(" or ");
    throw new ConfigError("--compress", program, `${program} to be installed, or --compress ${others}`);
  }
  const said = new Response(child.stderr).text();
  // If this end breaks, the program's exit status tells more.
  const feeding = input.pipeTo(child.stdin).catch((error) => error as Error);
  const check = async () => {
    const broken = await feeding;
    const { success, code } = await child.status;
    if (!success) throw new DenoiseError(`${program} failed with exit code ${code}: ${(await said).trim()}`);
    if (broken) throw broken;
  };
  return child.stdout.pipeThrough(new TransformStream({ flush: check }));
}

/** Writes a stream into pieces of at most `pieceBytes`. */
async function cut(
  stream: ReadableStream<Uint8Array>,
  folder: string,
  name: string,
  pieceBytes = Infinity,
): Promise<ArchivePiece[]> {
  const pieces: ArchivePiece[] = [];
  let piece: OpenPiece | undefined;
  try {
    for await (let chunk of stream) {
      while (chunk.length > 0) {
        const file = pieceBytes === Infinity ? name : `${name}.${String(pieces.length).padStart(3, "0")}`;
        piece ??= new OpenPiece(folder, file);
        const part = chunk.subarray(0, pieceBytes - piece.bytes);
        piece.write(part);
        chunk = chunk.subarray(part.length);
        if (piece.bytes === pieceBytes) {
          pieces.push(piece.finish());
          piece = undefined;
        }
      }
    }
    if (piece) pieces.push(piece.finish());
    piece = undefined;
    return pieces;
  } finally {
    piece?.finish();
  }
}

/** A piece being written. */
class OpenPiece {
  readonly #file: Deno.FsFile;
  readonly #hash = createHash("sha256");
  bytes = 0;

  constructor(folder: string, private readonly name: string) {
    this.#file = Deno.openSync(join(folder, name), { write: true, createNew: true });
  }

  write(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length;) done += this.#file.writeSync(chunk.subarray(done));
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }

  finish(): ArchivePiece {
    this.#file.close();
    return { file: this.name, bytes: this.bytes, sha256: this.#hash.digest("hex") };
  }
}
