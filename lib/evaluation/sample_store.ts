/**
 * Samples on disk, drawn part by part: an interrupted evaluation goes on after the last complete part.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import { encodeJson, parseJson, readModelFile } from "../files/checkpoint_files.ts";
import { exists, writeDurable } from "../files/durable.ts";
import { decodeWeights, encodeWeights } from "../files/weights.ts";

/** What determines the samples; any values of JSON. */
export type SampleRequest = Readonly<Record<string, unknown>>;

const REQUEST = "request.json";

/** Directory of samples of one request. */
export class SampleStore {
  readonly #directory: string;
  readonly #bytes: number;
  readonly #part: number;
  readonly #count: number;

  private constructor(directory: string, bytes: number, part: number, count: number) {
    this.#directory = directory;
    this.#bytes = bytes;
    this.#part = part;
    this.#count = count;
  }

  /**
   * Opens a directory, new or with samples of the same request.
   *
   * @param sizes bytes of an image, images in a part (the batch), images in all. More images may be asked for than before, in
   *   parts of the same size.
   * @throws {ConfigError} if the directory has samples of another request
   * @throws {CheckpointError} if it cannot be read or written
   */
  static async open(
    directory: string,
    request: SampleRequest,
    { bytes, part, count }: { readonly bytes: number; readonly part: number; readonly count: number },
  ): Promise<SampleStore> {
    const path = join(directory, REQUEST);
    const wanted = { ...request, batch: part };
    if (await exists(path)) {
      const present = parseJson(await readModelFile(path), path);
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
    return new SampleStore(directory, bytes, part, count);
  }

  /** Parts in all. */
  get parts(): number {
    return Math.ceil(this.#count / this.#part);
  }

  /** Images of part `index`: the first, and their number. */
  rangeOf(index: number): { readonly first: number; readonly count: number } {
    const first = index * this.#part;
    return { first, count: Math.min(this.#part, this.#count - first) };
  }

  /** Reads a part; undefined if it is not complete yet. A damaged part is drawn again. */
  async read(index: number): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(index);
    if (!await exists(path)) return undefined;
    let images: unknown;
    try {
      images = decodeWeights(await readModelFile(path), path).tensors.get("images")?.data;
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      return undefined;
    }
    const expected = this.rangeOf(index).count * this.#bytes;
    // The last part of an evaluation of fewer images is incomplete; one of more images has more than are needed.
    return images instanceof Uint8Array && images.length >= expected
      ? images.subarray(0, expected)
      : undefined;
  }

  /** Writes a part. */
  async write(index: number, images: Uint8Array): Promise<void> {
    const tensor = { shape: [images.length / this.#bytes, this.#bytes], data: images };
    await writeDurable(this.#pathOf(index), encodeWeights(new Map([["images", tensor]])));
  }

  #pathOf(index: number): string {
    return join(this.#directory, `part-${String(index).padStart(5, "0")}.safetensors`);
  }
}
