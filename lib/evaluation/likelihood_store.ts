/**
 * Sums of an evaluation on disk, so that one that was interrupted goes on after the last complete batch.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { encodeJson, parseJson, readModelFile } from "../files/checkpoint_files.ts";
import { exists, writeDurable } from "../files/durable.ts";
import type { LikelihoodPlan } from "./likelihood_plan.ts";
import { emptyLikelihoodSums, type LikelihoodSums } from "./likelihood_result.ts";

/** File of one evaluation. Others of the same directory, of another model or with other settings, are left alone. */
export class LikelihoodStore {
  readonly path: string;

  /**
   * @param directory that of the results
   * @param plan the evaluation
   * @param model what determines the network's outputs, such as a digest of the weights and the precision; values of JSON
   */
  constructor(directory: string, plan: LikelihoodPlan, model: Readonly<Record<string, string | number>>) {
    const { levels, decoderVariance, variance, strata, seed, data, indices } = plan;
    const evaluation = [model, data.digest, seed, [...indices], levels, decoderVariance, variance, strata];
    const digest = createHash("sha256").update(JSON.stringify(evaluation)).digest("hex");
    this.path = join(directory, `likelihood-${digest.slice(0, 12)}.json`);
  }

  /**
   * Reads the sums so far, or returns those before the first image.
   *
   * @throws {CheckpointError} if the file is damaged or cannot be read
   */
  async read(plan: LikelihoodPlan): Promise<LikelihoodSums> {
    if (!await exists(this.path)) return emptyLikelihoodSums(plan);
    const stored = parseJson(await readModelFile(this.path), this.path);
    const expected = Object.entries(emptyLikelihoodSums(plan));
    const isSums = expected.every(([name, value]) => Array.isArray(stored[name]) === Array.isArray(value)) &&
      (stored.strata as unknown[]).length === plan.strata.length;
    if (!isSums) {
      throw new CheckpointError(`${this.path}: not an interrupted evaluation; remove it to start again`);
    }
    return stored as unknown as LikelihoodSums;
  }

  /**
   * Writes the sums.
   *
   * @throws {CheckpointError} if that fails; the file is then as before
   */
  async write(sums: LikelihoodSums): Promise<void> {
    await writeDurable(this.path, encodeJson(sums, this.path));
  }
}
