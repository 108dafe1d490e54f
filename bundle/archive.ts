/**
 * Parts of a bundle: compressed tar archives, cut into pieces with digests.
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
  /** Path in the unpacked bundle, with `/`. */
  readonly path: string;
  /** Path of the file to copy, or the contents. */
  readonly source: string | Uint8Array;
}

/** Compression formats of parts. */
export const COMPRESSIONS = ["xz", "gzip", "none"] as const;
/** One of {@linkcode COMPRESSIONS}. */
export type Compression = typeof COMPRESSIONS[number];

/** File name suffix, and a command that compresses standard input to standard output. */
const FORMATS: Readonly<Record<Compression, { suffix: string; command?: CommandLine }>> = {
  xz: { suffix: ".xz", command: ["xz", "-6", "-c"] },
  gzip: { suffix: ".gz", command: ["gzip", "-6", "-n", "-c"] },
  none: { suffix: "" },
};

/** A file of the bundle: all of a part, or a piece of it. */
export interface ArchivePiece {
  readonly file: string;
  readonly bytes: number;
  /** SHA-256, hex. */
  readonly sha256: string;
}

/** Result of {@linkcode packPart}. */
export interface PackedPart {
  /** Pieces in the order of joining. */
  readonly pieces: readonly ArchivePiece[];
  /** Total size of its files, bytes. */
  readonly unpackedBytes: number;
}

/** Options of {@linkcode packPart}. */
export interface PackOptions {
  readonly compression: Compression;
  /** Largest size of a piece in bytes; default: a single piece. */
  readonly pieceBytes?: number;
  /** Aborts packing with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Packs files into `FOLDER/NAME.tar…`, or into pieces `….000`, `….001` and so on if `pieceBytes` is given.
 *
 * @param folder folder for the pieces
 * @param name name of the part
 * @param entries files of the part, in order of packing
 * @throws {ConfigError} if the compression program is not installed
 * @throws {DenoiseError} if compression or reading a file fails
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
    // The first failure is the cause; the other promise then fails because of it.
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

/** Adds all files to the archive, and returns their total size in bytes. */
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
    // The packer's error for a file that changes while it is read names sizes, but not the file.
    await file.readable.pipeTo(body).catch((error) => {
      throw new DenoiseError(`${source}: could not be packed: ${(error as Error).message}`, { cause: error });
    });
    bytes += size;
  }
  packer.finalize();
  return bytes;
}

/** Pipes a stream through a program. */
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
  // For a broken pipe, the program's exit status is the better error.
  const feeding = input.pipeTo(child.stdin).catch((error) => error as Error);
  const check = async () => {
    const broken = await feeding;
    const { success, code } = await child.status;
    if (!success) throw new DenoiseError(`${program} failed with exit code ${code}: ${(await said).trim()}`);
    if (broken) throw broken;
  };
  return child.stdout.pipeThrough(new TransformStream({ flush: check }));
}

/** Cuts a stream into files of at most `pieceBytes`. */
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
