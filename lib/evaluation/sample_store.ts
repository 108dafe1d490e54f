/**
 * Samples on disk, drawn part by part: an interrupted evaluation goes on after the last complete part.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import { readModelFile, sha256 } from "../files/checkpoint_files.ts";
import { encodeJson } from "../files/pipeline_files.ts";
import { parseJson } from "../files/pipeline_files.ts";
import { exists, removeLeftovers, writeDurable } from "../files/durable.ts";
import { decodeWeights, encodeWeights, type WeightFile } from "../files/weights.ts";

/** What determines the samples; any values of JSON. */
export type SampleRequest = Readonly<Record<string, unknown>>;

const REQUEST = "request.json";

/** Key of the request's digest and the part's index in a part's metadata. */
const PART_KEY = "denoise.part";

/** Sizes of a {@linkcode SampleStore}. */
export interface SampleSizes {
  /** Bytes of an image. */
  readonly bytes: number;
  /** Images in a part, the batch. */
  readonly part: number;
  /** Images in all. */
  readonly count: number;
}

/** Directory of samples of one request. */
export class SampleStore {
  readonly #directory: string;
  /** Digest of the request. Each part has it with its index, so that another part is not taken for it. */
  readonly #digest: string;
  readonly #sizes: SampleSizes;

  private constructor(directory: string, digest: string, sizes: SampleSizes) {
    this.#directory = directory;
    this.#digest = digest;
    this.#sizes = sizes;
  }

  /**
   * Opens a directory, new or with samples of the same request. Lock it first.
   *
   * @param sizes more images may be asked for than before, in parts of the same size
   * @throws {ConfigError} if the directory has samples of another request
   * @throws {CheckpointError} if it cannot be read or written
   */
  static async open(
    directory: string,
    request: SampleRequest,
    sizes: SampleSizes,
  ): Promise<SampleStore> {
    await removeLeftovers(directory);
    const path = join(directory, REQUEST);
    const wanted = { ...request, batch: sizes.part };
    if (await exists(path)) {
      const present = await readRequest(path);
      const differing = [...new Set([...Object.keys(present), ...Object.keys(wanted)])].filter((key) =>
        JSON.stringify(present[key]) !== JSON.stringify((wanted as Record<string, unknown>)[key])
      );
      if (differing.length > 0) {
        throw new ConfigError(
          "out",
          directory,
          `another directory: it has samples drawn with other ${differing.join(", ")}`,
        );
      }
    } else await writeDurable(path, encodeJson(wanted, REQUEST));
    return new SampleStore(directory, sha256(encodeJson(wanted, REQUEST)), sizes);
  }

  /** Parts in all. */
  get parts(): number {
    return Math.ceil(this.#sizes.count / this.#sizes.part);
  }

  /** Images of part `index`: the first, and their number. */
  rangeOf(index: number): { readonly first: number; readonly count: number } {
    const { part, count } = this.#sizes;
    const first = index * part;
    return { first, count: Math.min(part, count - first) };
  }

  /** Reads a part; undefined if it is not complete yet. A damaged part is drawn again. */
  async read(index: number): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(index);
    if (!await exists(path)) return undefined;
    let part: WeightFile;
    try {
      part = await decodeWeights(await readModelFile(path), path);
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      return undefined;
    }
    const { shape, data } = part.tensors.get("images") ?? {};
    const { count } = this.rangeOf(index);
    const { bytes } = this.#sizes;
    const own = part.metadata[PART_KEY] === this.#nameOf(index) && shape?.[1] === bytes;
    // The last part of an evaluation of fewer images is incomplete; one of more images has more than are needed.
    return own && data instanceof Uint8Array && data.length >= count * bytes
      ? data.subarray(0, count * bytes)
      : undefined;
  }

  /** Writes a part. */
  async write(index: number, images: Uint8Array): Promise<void> {
    const { bytes } = this.#sizes;
    const tensor = { shape: [images.length / bytes, bytes], data: images };
    const encoded = await encodeWeights(new Map([["images", tensor]]), { [PART_KEY]: this.#nameOf(index) });
    await writeDurable(this.#pathOf(index), encoded);
  }

  #nameOf(index: number): string {
    return `${this.#digest} ${index}`;
  }

  #pathOf(index: number): string {
    return join(this.#directory, `part-${String(index).padStart(5, "0")}.safetensors`);
  }
}

async function readRequest(path: string): Promise<Record<string, unknown>> {
  try {
    return parseJson(await readModelFile(path), path);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(
      `${error.message}; remove it to go on with samples of this evaluation, which replaces those of another`,
    );
  }
}
