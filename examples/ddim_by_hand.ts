/**
 * DDIM sampling (Song et al. 2021) with the loop in plain sight: the network predicts noise, and the sampler's arithmetic
 * happens here, step by step.
 *
 *     deno run -A examples/ddim_by_hand.ts --class horse --seed 6 --steps 10
 *
 * At the end it compares its image with that of `model.generate()`, which does the same on the device.
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  applyStep,
  DDPM,
  Images,
  initialNoise,
  NoiseSchedule,
  planSampling,
  startState,
  strip,
} from "../mod.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "checkpoints/cifar10" },
    class: { type: "string", default: "horse" },
    seed: { type: "string", default: "6" },
    steps: { type: "string", default: "10" },
    guidance: { type: "string", default: "2" },
    out: { type: "string", default: "ddim.png" },
  },
});
const [seed, steps, guidance] = [Number(values.seed), Number(values.steps), Number(values.guidance)];

const model = await DDPM.load(values.model);
const { schedule } = model;
if (!(schedule instanceof NoiseSchedule) || schedule.objective !== "epsilon") {
  throw new Error(`${values.model}: this lesson is about models that predict the noise of a DDPM`);
}
const label = model.classes.indexOf(values.class);
if (label < 0) throw new Error(`--class: expected one of ${model.classes.join(", ")}, got ${values.class}`);
const size = model.config.sampleSize;
const [height, width] = typeof size === "number" ? [size, size] : size;

// 1. Of the 1,000 timesteps of training, DDIM visits a few. For each, the plan holds the level of noise
//
//        x_t = signal x_0 + noise eps,   signal = sqrt(alpha_t),  noise = sqrt(1 - alpha_t)
//
//    (alpha is the DDIM paper's letter for what Ho et al. call alpha-bar), the level that the step leads to, and the
//    coefficients of the step.
const plan = planSampling("ddim", schedule, { steps });

// 2. Start from noise: x_T ~ N(0, I). This is the noise that the seed stands for everywhere in this project.
let state = startState(Float64Array.from(initialNoise(seed, height * width, 3)));

const frames: Images[] = [];
for (const step of plan) {
  // 3. Ask the network which noise it sees in x_t (classifier-free guidance included).
  const x = Float32Array.from(state.x);
  const eps = await model.predict([{ label, guidance, seed, start: x }], step);

  // 4. One step: from the noise follows an estimate of the image, and from both the way to the next level (equation 12),
  //
  //        x_0 = (x_t - noise_t eps) / signal_t,   clipped to [-1, 1]
  //        x_s = signal_s x_0 + noise_s eps
  //
  //    `applyStep` does this with the plan's coefficients, as it does every other sampler's step.
  const { level, next } = step;
  const written = state.x.map((x, i) => {
    const x0 = Math.min(1, Math.max(-1, (x - level.noise * eps[i]) / level.signal));
    return next.signal * x0 + next.noise * eps[i];
  });
  state = applyStep(step, state, eps);
  const gap = Math.max(...state.x.map((x, i) => Math.abs(x - written[i])));
  if (gap > 1e-9) throw new Error(`equation 12 and applyStep differ by ${gap}`);

  const share = (100 * level.noise ** 2).toFixed(1);
  console.log(`t = ${step.timestep}: ${share} % of the variance is noise`);
  frames.push(Images.fromFloats(Float32Array.from(state.h1), 1, height, width)); // h1: the estimate of x_0
}

// 5. The estimates of x_0, from a blur to the image.
const picture = strip(frames, { captions: plan.map(({ timestep }) => `t=${timestep}`), scale: 3 });
await Deno.writeFile(values.out, await picture.png());
console.log(`wrote ${values.out}`);

// 6. The same by the library: float32 on the device, where this was float64, so they may differ in rounding.
const drawn = await model.generate({ class: values.class, sampler: "ddim", steps, guidance, seed });
const own = Images.fromFloats(Float32Array.from(state.x), 1, height, width);
const differences = own.pixels.map((value, i) => Math.abs(value - drawn.pixels[i]));
const different = differences.filter((difference) => difference > 0).length;
console.log(
  `of ${own.pixels.length} values, ${different} differ from generate(), by at most ${
    Math.max(...differences)
  } of 255`,
);
await model.close();
