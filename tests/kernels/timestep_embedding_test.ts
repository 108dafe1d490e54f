import assert from "node:assert/strict";
import { timestepEmbeddingForward, type TimestepEmbeddingShape } from "../../kernels/timestep_embedding.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { unpackChannels } from "../support/layout.ts";
import { timestepEmbeddingReference } from "../reference/timestep_embedding.ts";
import { FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

type Options = Omit<TimestepEmbeddingShape, "batch">;

async function runEmbedding(
  storage: Storage,
  timesteps: number[],
  options: Options,
): Promise<Float32Array> {
  const y = storage.empty(timesteps.length * 4 * Math.ceil(options.dim / 4));
  const buffers = { timesteps: Float32Array.from(timesteps), y };
  await storage.run(timestepEmbeddingForward<HostArray>({ batch: timesteps.length, ...options }, buffers));
  // Unpacking checks that padding lanes are zero.
  return unpackChannels(y, options.dim);
}

const all = Array.from({ length: 1001 }, (_, t) => t);
const CASES: [string, number[], Options][] = [
  ["the reference model's", all, { dim: 128, flipSinToCos: false, downscaleFreqShift: 1 }],
  ["cosines first, no shift", all, { dim: 32, flipSinToCos: true, downscaleFreqShift: 0 }],
  ["odd dim", all, { dim: 7, flipSinToCos: false, downscaleFreqShift: 1 }],
  ["odd dim, cosines first", all, { dim: 9, flipSinToCos: true, downscaleFreqShift: 0 }],
  ["wide", all, { dim: 2048, flipSinToCos: false, downscaleFreqShift: 1 }],
  ["short period", all, { dim: 16, flipSinToCos: false, downscaleFreqShift: 0.5, maxPeriod: 100 }],
  ["fractional timesteps", all.map((t) => t * 0.9371), {
    dim: 64,
    flipSinToCos: false,
    downscaleFreqShift: 1,
  }],
  ["negative timesteps, as of EDM", all.map((t) => (t - 500) * 0.0037), {
    dim: 32,
    flipSinToCos: false,
    downscaleFreqShift: 1,
  }],
  ["timesteps down to -1000", all.map((t) => -t), { dim: 32, flipSinToCos: true, downscaleFreqShift: 0 }],
  ["one timestep, one frequency", [999], { dim: 2, flipSinToCos: false, downscaleFreqShift: 0 }],
  ["dim 1", [5], { dim: 1, flipSinToCos: false, downscaleFreqShift: 0 }],
];
const ALL_CASES = STORAGES.flatMap((storage) => CASES.map((c) => [storage, ...c] as const));
for (const [storage, what, timesteps, options] of ALL_CASES) {
  const name = `y=[${timesteps.length},${options.dim}] ${what}${storage.suffix}`;
  Deno.test(`timestep_embedding is right to 3e-6 up to t = 1000: ${name}`, async () => {
    const got = await runEmbedding(storage, timesteps, options);
    const rounded = Float32Array.from(timesteps);
    const want = timestepEmbeddingReference(rounded, { maxPeriod: 10000, ...options });
    // A frequency is the product of up to eleven fractions of a turn, each rounded by at most 2^-33, which t = 1000 makes
    // 7e-7 rad; some cancel.
    assertClose(got, want, storage.stored({ absolute: 3e-6 }), "y");
  });
}

Deno.test("timestep_embedding at t = 0 is zeros and ones, bit for bit", async () => {
  const got = await runEmbedding(FLOAT32, [0], { dim: 6, flipSinToCos: false, downscaleFreqShift: 1 });
  assert.deepEqual([...got], [0, 0, 0, 1, 1, 1]);
});

Deno.test("timestep_embedding refuses options that have no frequencies", () => {
  const make = (options: Partial<Options>) => () =>
    timestepEmbeddingForward(
      { batch: 1, dim: 8, flipSinToCos: false, downscaleFreqShift: 1, ...options },
      { timesteps: 0, y: 0 },
    );
  assert.throws(make({ dim: 2 }), /downscaleFreqShift 1 is not below 1/);
  assert.throws(make({ dim: 4096 }), /dim 4096 is above 2048/);
  assert.throws(make({ maxPeriod: 1 }), /maxPeriod 1 is not above 1/);
});
