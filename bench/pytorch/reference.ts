/**
 * Reference data for check.py: `deno run -A bench/pytorch/reference.ts presets` prints presets.json, the networks and their
 * operation counts; `… network PRESET DIR` writes a network with weights of the golden formula as a checkpoint, and its
 * output for two images as `expected.safetensors`.
 *
 * @module
 */

import { join } from "node:path";
import { readBack } from "../../lib/gpu/readback.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { unetConfigToJson } from "../../lib/model/config.ts";
import { forwardPass, unetParameters } from "../../lib/model/network.ts";
import { CIFAR10_PRESETS, presetConfig } from "../../lib/model/presets.ts";
import type { SafeTensor } from "../../lib/files/dtypes.ts";
import { encodeSafetensors } from "../../lib/files/safetensors.ts";
import { CLASSES } from "../models.ts";
import { networkFlops } from "../operations.ts";
import { openTaskGpu } from "../../terminal/gpu.ts";
import { goldenParameter, goldenScaled } from "../../tests/golden/formula.ts";

const BATCH = 2;
const TIMESTEPS = [17, 871];
const LABELS = [3, 10];

function describePresets(): Record<string, unknown> {
  return Object.fromEntries(CIFAR10_PRESETS.map((name) => {
    const config = presetConfig(name, CLASSES);
    const { forward, step } = networkFlops(config, 1, { path: "tile", subgroupSize: 0 });
    return [name, {
      config: unetConfigToJson(config),
      parameters: unetParameters(config).count,
      flopsPerImage: { forward, step },
    }];
  }));
}

async function writeNetwork(preset: string, directory: string): Promise<void> {
  const config = presetConfig(preset, CLASSES);
  const table = unetParameters(config);
  const tensors = new Map(table.parameters.map(({ name, shape }) => {
    return [name, { shape: [...shape], data: goldenParameter(preset, name, shape) }];
  }));
  const flat = table.toMemory(tensors, "formula");

  const gpu = await openTaskGpu();
  const scope = new ResourceScope(gpu, "reference");
  const weights = scope.buffer(flat.byteLength, "weights").buffer;
  const { inputs, launches, prediction } = scope.own(forwardPass(gpu, config, BATCH, weights, "reference"));
  const x = goldenScaled(preset, "x", BATCH * 3 * 1024, 2);
  const { queue } = gpu.device;
  queue.writeBuffer(weights, 0, flat);
  queue.writeBuffer(inputs.x.buffer, inputs.x.offset, toPixels(x));
  queue.writeBuffer(inputs.timesteps.buffer, inputs.timesteps.offset, Float32Array.from(TIMESTEPS));
  queue.writeBuffer(inputs.labels!.buffer, inputs.labels!.offset, Uint32Array.from(LABELS));
  scope.own(await buildProgram(gpu, launches)).run();
  const [bytes] = await readBack(gpu, [prediction]);
  console.log(gpu.adapter.name);

  const shape = [BATCH, 3, 32, 32];
  const expected = new Map<string, SafeTensor>([
    ["x", { dtype: "F32", shape, data: x }],
    ["timesteps", { dtype: "F32", shape: [BATCH], data: Float32Array.from(TIMESTEPS) }],
    ["labels", { dtype: "F32", shape: [BATCH], data: Float32Array.from(LABELS) }],
    ["output", { dtype: "F32", shape, data: toPlanes(new Float32Array(bytes!)) }], // readBack gives one buffer a view
  ]);
  await Deno.mkdir(directory, { recursive: true });
  await Deno.writeTextFile(join(directory, "config.json"), JSON.stringify(unetConfigToJson(config)));
  const named = new Map([...tensors].map(([name, tensor]): [string, SafeTensor] => {
    return [name, { dtype: "F32", ...tensor }];
  }));
  await Deno.writeFile(join(directory, "diffusion_pytorch_model.safetensors"), encodeSafetensors(named));
  await Deno.writeFile(join(directory, "expected.safetensors"), encodeSafetensors(expected));
  scope.destroy();
  gpu.close();
}

/** NCHW with three channels to NHWC with four, the last zero. */
function toPixels(planes: Float32Array): Float32Array<ArrayBuffer> {
  const pixels = new Float32Array(planes.length / 3 * 4);
  planes.forEach((value, i) => {
    const [image, channel, pixel] = [Math.floor(i / 3072), Math.floor(i / 1024) % 3, i % 1024];
    pixels[4 * (1024 * image + pixel) + channel] = value;
  });
  return pixels;
}

/** The inverse of {@linkcode toPixels}. */
function toPlanes(pixels: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: pixels.length / 4 * 3 }, (_, i) => {
    const [image, channel, pixel] = [Math.floor(i / 3072), Math.floor(i / 1024) % 3, i % 1024];
    return pixels[4 * (1024 * image + pixel) + channel]!; // below pixels.length, by the length of the planes
  });
}

const [what, preset, directory] = Deno.args;
if (what === "presets") console.log(JSON.stringify(describePresets(), null, 2));
else if (what === "network" && preset !== undefined && directory !== undefined) {
  await writeNetwork(preset, directory);
} else {
  console.error("usage: reference.ts presets | network PRESET DIR");
  Deno.exit(2);
}
