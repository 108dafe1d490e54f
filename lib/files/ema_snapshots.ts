/**
 * Snapshots of a run's averages with power-function profiles, from which averages of other widths are reconstructed:
 *
 * ```text
 * RUN/ema/step-00001234.safetensors     tensors `0.NAME`, `1.NAME` and so on, one number per profile
 * ```
 *
 * The profiles' relative widths and the step are in the file's metadata.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { type ProfilePoint, reconstructProfile } from "../model/ema_profiles.ts";
import { readModelFile } from "./checkpoint_files.ts";
import { type DurableOptions, fileProblem, writeDurable } from "./durable.ts";
import { decodeWeights, encodeWeights, type WeightTensor } from "./weights.ts";

/** Folder of a run's snapshots. */
export const EMA_SNAPSHOTS = "ema";

const PROFILES_KEY = "denoise.ema_profiles";

/** Averages of a run at one step. */
export interface EmaSnapshot {
  /** Optimizer steps done, from 1. */
  readonly step: number;
  /** Relative widths of the profiles. */
  readonly sigmas: readonly number[];
  /** Average of each profile, by diffusers' names. */
  readonly averages: readonly ReadonlyMap<string, WeightTensor>[];
}

/** An average of a width of one's own, reconstructed from a run's snapshots. */
export interface ReconstructedEma {
  /** Weights by diffusers' names. */
  readonly tensors: Map<string, WeightTensor<ArrayBuffer>>;
  /** Optimizer steps done at the last snapshot, of which it is the average. */
  readonly step: number;
  /** Number of snapshots it was made from. */
  readonly snapshots: number;
  /** Distance of its profile from the one wanted, relative to the latter's norm. */
  readonly error: number;
}

/** Writes a snapshot atomically. */
export async function writeEmaSnapshot(
  runDir: string,
  { step, sigmas, averages }: EmaSnapshot,
  options: DurableOptions = {},
): Promise<void> {
  const tensors = averages.flatMap((average, i) =>
    [...average].map(([name, tensor]): [string, WeightTensor] => [`${i}.${name}`, tensor])
  );
  const bytes = await encodeWeights(new Map(tensors), { [PROFILES_KEY]: JSON.stringify({ step, sigmas }) });
  await writeDurable(snapshotPath(runDir, step), bytes, options);
}

/**
 * Removes the snapshots after a step: a run that continues from there writes them again.
 *
 * @throws {CheckpointError} if one cannot be removed
 */
export async function removeEmaSnapshots(runDir: string, after: number): Promise<void> {
  for (const step of await snapshotSteps(runDir)) {
    if (step <= after) continue;
    const path = snapshotPath(runDir, step);
    try {
      await Deno.remove(path);
    } catch (error) {
      throw new CheckpointError(`cannot remove ${path}: ${fileProblem(error)}`);
    }
  }
}

/**
 * Reconstructs the average of relative width `sigma` at a run's last snapshot, from all its snapshots.
 *
 * @throws {CheckpointError} if the run has no snapshots, or one is damaged
 */
export async function reconstructEma(runDir: string, sigma: number): Promise<ReconstructedEma> {
  const steps = await snapshotSteps(runDir);
  const last = steps.at(-1);
  if (last === undefined) {
    throw new CheckpointError(
      `${runDir} has no snapshots of averages to reconstruct others from: train with \`emaProfiles\``,
    );
  }
  const points: ProfilePoint[] = [];
  for (const step of steps) {
    const { sigmas } = await readSnapshot(runDir, step);
    points.push(...sigmas.map((each) => ({ sigma: each, step })));
  }
  const { coefficients, error } = reconstructProfile(points, { sigma, step: last });
  const sums = new Map<string, { shape: number[]; sum: Float64Array; first: Float32Array; same: boolean }>();
  let index = 0;
  // One file at a time: together they can exceed the memory.
  for (const step of steps) {
    const { averages } = await readSnapshot(runDir, step);
    for (const average of averages) {
      const coefficient = coefficients[index++]!; // as many as there are averages
      for (const [name, { shape, data }] of average) {
        const { sum, first, same } = sums.get(name) ??
          { sum: new Float64Array(data.length), first: data, same: true };
        for (let i = 0; i < data.length; i++) sum[i]! += coefficient * data[i]!;
        sums.set(name, { shape, sum, first, same: same && data.every((value, i) => value === first[i]) });
      }
    }
  }
  const tensors = new Map(
    // The coefficients add up to 1 only nearly, and what is not trained is to stay as it is.
    [...sums].map(([name, { shape, sum, first, same }]) => [
      name,
      { shape, data: Float32Array.from(same ? first : sum) },
    ]),
  );
  return { tensors, step: last, snapshots: steps.length, error };
}

async function readSnapshot(runDir: string, step: number): Promise<EmaSnapshot> {
  const path = snapshotPath(runDir, step);
  const { tensors, metadata } = await decodeWeights(await readModelFile(path), path);
  const { sigmas, step: stored } = parseProfiles(metadata[PROFILES_KEY], path);
  if (stored !== step) throw new CheckpointError(`${path}: expected step ${step}, got ${stored}`);
  const averages = sigmas.map(() => new Map<string, WeightTensor>());
  for (const [name, { shape, data }] of tensors) {
    const [, index, parameter] = /^(\d+)\.(.+)$/.exec(name) ?? [];
    const average = averages[Number(index)];
    if (!average || !(data instanceof Float32Array)) {
      throw new CheckpointError(`${path}: tensor ${JSON.stringify(name)} is no float32 average of a profile`);
    }
    average.set(parameter!, { shape, data });
  }
  return { step, sigmas, averages };
}

function parseProfiles(text: string | undefined, path: string): Pick<EmaSnapshot, "step" | "sigmas"> {
  try {
    return JSON.parse(text!);
  } catch {
    throw new CheckpointError(`${path}: no snapshot of averages: its metadata lack ${PROFILES_KEY}`);
  }
}

/** Steps of a run's snapshots, in order; empty if there are none. */
async function snapshotSteps(runDir: string): Promise<number[]> {
  const directory = join(runDir, EMA_SNAPSHOTS);
  const steps: number[] = [];
  try {
    for await (const { name } of Deno.readDir(directory)) {
      const digits = /^step-(\d{8,15})\.safetensors$/.exec(name)?.[1];
      if (digits !== undefined) steps.push(Number(digits));
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw new CheckpointError(`${directory}: cannot be read: ${(error as Error).message}`);
  }
  return steps.sort((a, b) => a - b);
}

function snapshotPath(runDir: string, step: number): string {
  return join(runDir, EMA_SNAPSHOTS, `step-${String(step).padStart(8, "0")}.safetensors`);
}
