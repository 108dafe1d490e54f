/**
 * Pictures of the documents that are drawn from the model that comes with the project: `deno task docs --pictures`.
 *
 * @module
 */
import { DDPM, Images, NoiseSchedule, type SamplerName } from "../../mod.ts";
import { halfLogSnr } from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { lossChart } from "../../lib/image/chart.ts";
import { strip } from "../../lib/image/process.ts";

/** The model that draws. */
const MODEL = "checkpoints/cifar10";
/** Classes of the rows. */
const CLASSES = ["automobile", "horse", "ship", "truck"];
const SHOWN = ["horse", "ship"];
const SEED = 7;
/** Guidance scales of the columns. */
const SCALES = [0, 1, 2, 4, 8] as const;
/** Steps of the columns. */
const STEPS = [5, 10, 15, 25, 50, 100] as const;
/** Samplers of the rows. */
const SAMPLERS: readonly SamplerName[] = ["ddpm", "ddim", "unipc"];

/**
 * Draws all pictures.
 *
 * @returns PNG files by name
 */
export async function drawPictures(): Promise<Record<string, Uint8Array>> {
  const model = await DDPM.load(MODEL);
  try {
    return {
      "schedules.png": await schedules(),
      "guidance.png": await guidance(model),
      "steps.png": await steps(model),
    };
  } finally {
    await model.close();
  }
}

/** Log signal-to-noise ratio over time, of three schedules of betas and of rectified flow. */
async function schedules(): Promise<Uint8Array> {
  const last = 999;
  const flow = new RectifiedFlow();
  const processes = {
    linear: new NoiseSchedule(),
    cosine: new NoiseSchedule({ betaSchedule: "cosine" }),
    sigmoid: new NoiseSchedule({ betaSchedule: "sigmoid" }),
    "rectified flow": flow,
  };
  const series = Object.entries(processes).map(([name, process]) => ({
    name,
    points: Array.from({ length: 199 }, (_, i) => {
      const t = (i + 1) / 200;
      const level = process.level(process === flow ? t * 1000 : Math.round(t * last));
      return { x: t, y: Math.min(Math.max(2 * halfLogSnr(level), -12), 12) };
    }),
  }));
  return await lossChart(series, {
    title: "Signal and noise over time",
    xLabel: "t / T",
    yLabel: "log of signal² / noise²",
  });
}

async function guidance(model: DDPM): Promise<Uint8Array> {
  const columns = [];
  for (const scale of SCALES) {
    columns.push(await model.generate({ class: CLASSES, guidance: scale, seed: SEED }));
  }
  const captions = SCALES.map((scale) => `s = ${scale}`);
  return await strip(columns, { captions, rowLabels: CLASSES, scale: 3 }).png();
}

async function steps(model: DDPM): Promise<Uint8Array> {
  const columns = [];
  for (const count of STEPS) {
    const rows = [];
    for (const sampler of SAMPLERS) {
      rows.push(await model.generate({ class: SHOWN, sampler, steps: count, seed: SEED }));
    }
    columns.push(Images.concat(rows));
  }
  const captions = STEPS.map((count) => `${count} steps`);
  const rowLabels = SAMPLERS.flatMap((sampler) => SHOWN.map((name) => `${sampler}, ${name}`));
  return await strip(columns, { captions, rowLabels, scale: 3 }).png();
}
