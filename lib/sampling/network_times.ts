/**
 * Checks that a network can embed the times of a process and of a sampler's plan. Sinusoids take any number; Fourier embeddings take a
 * logarithm, and divide by it, so times must be above 0; a table has a row for each whole timestep.
 *
 * @module
 */
import type { ForwardProcess } from "../diffusion/forward_process.ts";
import type { PlannedStep, SamplerName } from "../diffusion/sampler.ts";
import { ConfigError } from "../errors.ts";
import type { UNetConfig } from "../model/config.ts";

/**
 * Checks that a network can be trained with a process, or was.
 *
 * @throws {ConfigError} naming the field of `config.json`
 */
export function checkProcessTimes(config: UNetConfig, { objective, timeAxis }: ForwardProcess): void {
  const { timeEmbeddingType, numTrainTimesteps: rows } = config;
  const unfit = (others: string, why: string) =>
    new ConfigError(
      "time_embedding_type",
      timeEmbeddingType,
      `${others} with objective ${objective}, whose ${why}`,
    );
  if (timeEmbeddingType === "fourier" && (!timeAxis || timeAxis.whole)) {
    throw timeAxis
      ? unfit(
        '"positional" or "learned"',
        "last timestep is 0: it has no logarithm, and the output would be divided by it",
      )
      : unfit('"positional"', "times are below 0 where there is little noise, and have no logarithm");
  }
  if (timeEmbeddingType !== "learned") return;
  if (!timeAxis?.whole) throw unfit('"positional"', "times are not whole numbers");
  if (rows! < timeAxis.count) { // never null with a table
    throw new ConfigError(
      "num_train_timesteps",
      rows,
      `at least the ${timeAxis.count} of the noise schedule`,
    );
  }
}

/**
 * Checks that a network can evaluate a sampler's steps.
 *
 * @throws {ConfigError} naming the sampler
 */
export function checkPlanTimes(
  config: UNetConfig,
  sampler: SamplerName,
  plan: readonly PlannedStep[],
): void {
  if (config.timeEmbeddingType !== "learned") return;
  const between = plan.find(({ timestep }) => !Number.isInteger(timestep));
  if (!between) return;
  throw new ConfigError(
    "sampler",
    sampler,
    `ddpm, ddim, dpm++2m, dpm++2m-sde or unipc, or another with spacing leading or trailing: the network has learned whole timesteps only, ` +
      `not ${Number(between.timestep.toPrecision(6))}`,
  );
}
