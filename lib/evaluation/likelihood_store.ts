/**
 * Sums of an evaluation on disk, so that one that was interrupted goes on after the last complete batch.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { readModelFile, sha256 } from "../files/checkpoint_files.ts";
import { encodeJson } from "../files/pipeline_files.ts";
import { parseJson } from "../files/pipeline_files.ts";
import { exists, writeDurable } from "../files/durable.ts";
import type { LikelihoodPlan } from "./likelihood_plan.ts";
import { emptyLikelihoodSums, type LikelihoodSums } from "./likelihood_result.ts";

/** File of one evaluation. Others of the same directory, of another model or with other settings, are left alone. */
export class LikelihoodStore {
  readonly path: string;
  readonly #evaluation: string;

  /**
   * @param directory that of the results
   * @param plan the evaluation
   * @param model what determines the network's outputs, such as a digest of the weights and the precision; values of JSON
   */
  constructor(directory: string, plan: LikelihoodPlan, model: Readonly<Record<string, string | number>>) {
    const { levels, decoderVariance, variance, strata, seed, data, indices } = plan;
    const evaluation = [model, data.digest, seed, [...indices], levels, decoderVariance, variance, strata];
    this.#evaluation = createHash("sha256").update(JSON.stringify(evaluation)).digest("hex");
    this.path = join(directory, `likelihood-${this.#evaluation.slice(0, 12)}.json`);
  }

  /**
   * Reads the sums so far, or returns those before the first image.
   *
   * @throws {CheckpointError} if the file is damaged or cannot be read
   */
  async read(plan: LikelihoodPlan): Promise<LikelihoodSums> {
    if (!await exists(this.path)) return emptyLikelihoodSums(plan);
    const { sha256: digest, ...sums } = await this.#readJson();
    if (digest !== this.#digestOf(sums)) this.#damaged("its SHA-256 is not the one saved in it");
    return sums as unknown as LikelihoodSums;
  }

  async #readJson(): Promise<Record<string, unknown>> {
    const bytes = await readModelFile(this.path);
    try {
      return parseJson(bytes, this.path);
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      return this.#damaged("not a JSON object");
    }
  }

  /** Digest of sums and evaluation: sums of another evaluation are told from those of this one. */
  #digestOf(sums: object): string {
    return sha256(encodeJson({ evaluation: this.#evaluation, ...sums }, this.path));
  }

  #damaged(why: string): never {
    throw new CheckpointError(
      `${this.path}: not the sums of an interrupted evaluation (${why}); remove it to start again`,
    );
  }

  /**
   * Writes the sums.
   *
   * @throws {CheckpointError} if that fails; the file is then as before
   */
  async write(sums: LikelihoodSums): Promise<void> {
    await writeDurable(this.path, encodeJson({ ...sums, sha256: this.#digestOf(sums) }, this.path));
  }
}
