/** Data and models for tests of evaluations. */
import type { ImageDataset } from "../../lib/data/dataset.ts";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import type { ForwardProcess } from "../../lib/diffusion/forward_process.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { classCount, imageSize, type UNetConfig } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { DenoisingPass } from "../../lib/sampling/denoising_pass.ts";

/** Made-up images for a network, of all its classes. */
export function syntheticImages(config: UNetConfig, count: number): ImageDataset {
  const [height, width] = imageSize(config);
  const classes = Math.max(1, classCount(config));
  return imageDataset({
    name: "synthetic",
    images: Uint8Array.from(
      { length: count * height * width * 3 },
      (_, i) => 128 + 127 * Math.sin(0.37 * i) * Math.cos(0.011 * i),
    ),
    labels: Uint8Array.from({ length: count }, (_, i) => i % classes),
    classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
    height,
    width,
  });
}

/** A pass of an untrained network, all of whose weights are random. */
export async function untrainedPass(
  gpu: Gpu,
  config: UNetConfig,
  process: ForwardProcess,
  rows: number,
): Promise<{ pass: DenoisingPass; weights: GPUBuffer; destroy(): void }> {
  const scope = new ResourceScope(gpu, "untrained network");
  const table = unetParameters(config);
  const tensors = table.fromMemory(table.initialize(3));
  // Layers that start at zero would give a constant output.
  for (const { data } of tensors.values()) {
    data.forEach((value, i) => data[i] = value + 0.05 * Math.sin(i));
  }
  const flat = table.toMemory(tensors, "random weights");
  const { buffer: weights } = scope.buffer(flat.byteLength, "weights");
  gpu.device.queue.writeBuffer(weights, 0, flat);
  const pass = scope.own(await DenoisingPass.build(gpu, { config, process, weights, rows }));
  return { pass, weights, destroy: () => scope.destroy() };
}
