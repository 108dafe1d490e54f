/**
 * Single graph operations, forward and backward, lowered as in a network.
 *
 * @module
 */
import type { Launch } from "../kernels/source.ts";
import { StepStateLayout } from "../kernels/records/layouts.ts";
import { encodeRecord } from "../kernels/records/record.ts";
import type { KernelTarget } from "../kernels/target.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { type BufferView, ResourceScope } from "../lib/gpu/memory.ts";
import { buildProgram, type Program } from "../lib/gpu/program.ts";
import { compileGraph, lowerContext } from "../lib/graph/compile.ts";
import { recordBackward } from "../lib/graph/gradients.ts";
import { Graph } from "../lib/graph/graph.ts";
import { lower } from "../lib/graph/lower.ts";
import { type AllOperations, inputsOf, type Node, outputsOf } from "../lib/graph/operations.ts";
import type { Shape, Tensor } from "../lib/graph/tensor.ts";
import type { UNetConfig } from "../lib/model/config.ts";
import { unet, unetInputs } from "../lib/model/unet.ts";
import { Tuning } from "../lib/tuning/tuning.ts";

/** Dispatches that are timed together. */
export interface TimedPiece {
  /** Part of the operation, e.g. `weight gradient`. */
  readonly part: string;
  readonly program: Program;
  /** Floating-point operations of products; 0 if memory-bound. */
  readonly flops: number;
  /** Bytes of all operands and results, each counted once: the least possible traffic. */
  readonly bytes: number;
}

/** Records an operation on tensors from `leaf`, and returns its result. */
export type Operation = (g: Graph, leaf: (name: string, shape: Shape) => Tensor) => Tensor;

/** A compiled operation with its device memory. */
export interface PreparedOperation {
  readonly pieces: readonly TimedPiece[];
  destroy(): void;
}

/** Names of graph nodes in a row's name. */
const PARTS: Readonly<Record<keyof AllOperations, string>> = {
  conv2d: "forward",
  conv2dBackward: "gradients",
  groupNorm: "forward",
  groupNormBackward: "backward",
  scaleShift: "forward",
  scaleShiftBackward: "backward",
  activation: "forward",
  activationBackward: "backward",
  attention: "forward",
  attentionBackward: "backward",
  averagePoolBackward: "backward",
  upsample: "forward",
  upsampleBackward: "backward",
  maxPool: "forward",
  averagePool: "forward",
  resizeImages: "forward",
  concat: "forward",
  sliceChannels: "backward",
  add: "forward",
  rescale: "forward",
  rescaleBackward: "backward",
  timestepEmbedding: "forward",
  fourierEmbedding: "forward",
  embedding: "forward",
  embeddingBackward: "backward",
  vectorEmbedding: "forward",
  vectorEmbeddingBackward: "backward",
  drawBatch: "draw",
  drawAugmentation: "draw",
  qSample: "forward",
  selfCondition: "forward",
  trainingLoss: "forward",
  trainingLossBackward: "backward",
  augment: "draw",
  globalAveragePool: "forward",
  globalAveragePoolBackward: "backward",
  crossEntropy: "forward",
  crossEntropyBackward: "backward",
  hybridLoss: "forward",
  hybridLossBackward: "backward",
  recordLoss: "record",
};

/** Compiles an operation and its gradients with tuned kernels; no tensors share memory, and leaves are filled. */
export function prepare(
  gpu: Gpu,
  name: string,
  operation: Operation,
  tuning: Tuning = Tuning.of(gpu),
): Promise<PreparedOperation> {
  const scope = new ResourceScope(gpu, `bench ${name}`);
  return scope.guard(async () => {
    const g = new Graph();
    const leaves: Tensor[] = [];
    const leaf = (name: string, shape: Shape) => {
      // Trainable, so that it gets a gradient.
      const tensor = g.tensor(name, shape, "activation", true);
      leaves.push(tensor);
      return tensor;
    };
    const y = operation(g, leaf);
    const { ofParameter } = recordBackward(g, y, { seed: leaf("dy", y.shape) });
    const target = await tuning.tuned(() => [g]);
    const bound = new Map<Tensor, BufferView>();
    for (const tensor of [...g.inputs.values(), ...[...ofParameter].flat()]) {
      bound.set(tensor, scope.buffer(tensor.bytes, tensor.name));
    }
    const stepState = g.inputs.get("stepState");
    const keep = [...leaves, ...g.nodes.flatMap(outputsOf).filter(({ role }) => role === "activation")];
    const compiled = scope.own(compileGraph(gpu, g, { bound, keep, what: `bench ${name}`, target }));
    const used = new Set(g.nodes.flatMap(inputsOf));
    for (const tensor of [...leaves, ...ofParameter.keys()]) {
      if (used.has(tensor)) fill(gpu, compiled.view(tensor));
    }
    if (stepState) {
      gpu.device.queue.writeBuffer(compiled.view(stepState).buffer, 0, encodeRecord(StepStateLayout, STEP));
    }
    const pieces: TimedPiece[] = [];
    for (const [i, node] of g.nodes.entries()) {
      for (const { part, launches, bytes } of partsOf(node, compiled.launches[i] ?? [])) {
        const program = scope.own(await buildProgram(gpu, launches));
        // Later nodes read results of earlier ones: statistics, attention weights.
        program.run();
        pieces.push({ part, program, flops: program.flops, bytes });
      }
    }
    return { pieces, destroy: () => scope.destroy() };
  });
}

/** Step state for kernels that read one. */
export const STEP = {
  step: 0,
  seedLo: 1,
  seedHi: 0,
  stream: 0,
  position: 0,
  count: 1,
  logSlot: 0,
  accumulate: 0,
  learningRate: 1e-4,
  biasCorrection1: 0.1,
  biasCorrection2: 0.001,
  emaDecay: 0.999,
} as const;

function partOf(node: Node): string {
  const part = PARTS[node.kind];
  if (node.kind !== "sliceChannels") return part;
  return `${part}, ${node.attributes.first === 0 ? "first" : "second"} half`;
}

function partsOf(node: Node, launches: readonly Launch<BufferView>[]) {
  const part = partOf(node);
  // A slice reads only as much of its input as it writes.
  const read = node.kind === "sliceChannels" ? [node.out.dx] : inputsOf(node);
  const tensors = [...new Set(read), ...outputsOf(node)];
  const bytes = tensors.reduce((sum, { elements }) => sum + 4 * elements, 0);
  const whole = { part, launches, bytes };
  if (node.kind !== "attention" && node.kind !== "attentionBackward") return [whole];
  const products = launches.filter(({ flops }) => flops > 0);
  return [whole, { part: `${part}, products only`, launches: products, bytes }];
}

/** Fills a buffer with random values in [0.01, 1): with zeros a processor saves power and runs faster than on real data. */
export function fill(gpu: Gpu, { buffer, offset, size }: BufferView): void {
  const pattern = new Float32Array(Math.min(size / 4, 2 ** 18));
  for (let i = 0; i < pattern.length; i++) pattern[i] = 0.01 + 0.99 * Math.random();
  for (let at = 0; at < size; at += pattern.byteLength) {
    const part = pattern.subarray(0, Math.min(pattern.byteLength, size - at) / 4);
    gpu.device.queue.writeBuffer(buffer, offset + at, part);
  }
}

/** Floating-point operations of the products in a forward pass and in a training step; needs no device. */
export function networkFlops(
  config: UNetConfig,
  batch: number,
  target: KernelTarget,
): { readonly forward: number; readonly step: number } {
  const g = new Graph();
  const prediction = unet(g, config, unetInputs(g, config, batch, true));
  const forwardNodes = g.nodes.length;
  recordBackward(g, prediction, { seed: g.input("seed", prediction.shape) });
  const context = lowerContext(g, target);
  const flops = g.nodes.map((node) => lower(context, node).reduce((sum, launch) => sum + launch.flops, 0));
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  return { forward: sum(flops.slice(0, forwardNodes)), step: sum(flops) };
}
