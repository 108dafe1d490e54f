/**
 * Kernels and shapes of the benchmark.
 *
 * @module
 */
import { adamw } from "../kernels/adamw.ts";
import { matmul } from "../kernels/products/matmul.ts";
import { qSampleForward } from "../kernels/q_sample.ts";
import type { Launch } from "../kernels/source.ts";
import { DrawLayout, HealthLayout, StepStateLayout } from "../kernels/records/layouts.ts";
import { encodeRecord } from "../kernels/records/record.ts";
import type { KernelTarget } from "../kernels/target.ts";
import { encodeScheduleTables } from "../kernels/records/training.ts";
import { objectiveTables } from "../lib/diffusion/objective.ts";
import { NoiseSchedule } from "../lib/diffusion/schedule.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { type BufferView, ResourceScope } from "../lib/gpu/memory.ts";
import { buildProgram } from "../lib/gpu/program.ts";
import type { Graph } from "../lib/graph/graph.ts";
import { add, attention, concat, conv2d, groupNorm, upsample } from "../lib/graph/ops.ts";
import { paddedChannels, type Shape, type Tensor } from "../lib/graph/tensor.ts";
import type { Tuning } from "../lib/tuning/tuning.ts";
import { fill, type Operation, prepare, type PreparedOperation, STEP } from "./operations.ts";

/** A kernel with a shape: one or more rows of the kernel table. */
export interface KernelCase {
  /** Prefix of the rows' names. */
  readonly name: string;
  /** Builds the programs to time, with the kernels that `tuning` chooses. */
  prepare(gpu: Gpu, tuning: Tuning): Promise<PreparedOperation>;
}

/** Sizes of the cases. */
export interface CaseSizes {
  /** Batch size of compute-bound cases. */
  readonly batch: number;
  /** Batch size of memory-bound cases, large enough that the tensors do not fit a cache. */
  readonly trafficBatch: number;
  /** Elements that the optimizer updates. */
  readonly parameters: number;
}

/** All cases in table order; their number and order do not depend on the sizes. */
export function kernelCases({ batch, trafficBatch, parameters }: CaseSizes): KernelCase[] {
  return [
    conv([batch, 32, 32, 128], 128, 3),
    conv([batch, 32, 32, 32], 32, 3),
    conv([batch, 16, 16, 64], 64, 3),
    conv([batch, 8, 8, 256], 256, 3),
    conv([batch, 32, 32, 3], 64, 3),
    conv([batch, 32, 32, 64], 64, 3, 2),
    conv([batch, 16, 16, 256], 256, 1),
    conv([1024, 1, 1, 1024], 1024, 1),
    product(1024),
    heads([batch, 16, 16, 128], 4),
    heads([batch, 16, 16, 256], 1),
    norm([trafficBatch, 32, 32, 128], 32),
    norm([trafficBatch, 32, 32, 128], 32, 0.1),
    operation("add", [trafficBatch, 32, 32, 128], (g, x, leaf) => add(g, x, leaf("b", x.shape))),
    operation(
      "concat 128+128",
      [trafficBatch, 32, 32, 128],
      (g, x, leaf) => concat(g, x, leaf("b", x.shape)),
    ),
    operation("upsample", [trafficBatch, 16, 16, 128], (g, x) => upsample(g, x)),
    optimizer(parameters),
    noising(8 * trafficBatch),
  ];
}

type OnImage = (g: Graph, x: Tensor, leaf: (name: string, shape: Shape) => Tensor) => Tensor;

function operation(name: string, shape: Shape, record: OnImage): KernelCase {
  const full = `${name} [${shape}]`;
  const whole: Operation = (g, leaf) => record(g, leaf("x", shape), leaf);
  return { name: full, prepare: (gpu, tuning) => prepare(gpu, full, whole, tuning) };
}

function conv(shape: Shape, channels: number, kernel: 1 | 3, stride: 1 | 2 = 1): KernelCase {
  const [, height, width, from] = shape;
  const dense = height * width === 1;
  const kind = dense ? "dense" : `conv ${kernel}x${kernel}${stride === 2 ? "/2" : ""}`;
  return operation(`${kind} ${from}->${channels}`, shape, (g, x) => {
    const weight = dense
      ? g.parameter("weight", "linear", [channels, from], { kind: "ones" })
      : g.parameter("weight", "conv", [channels, from, kernel, kernel], { kind: "ones" });
    const bias = g.parameter("bias", "vector", [channels], { kind: "ones" });
    const padding = kernel === 3 && stride === 1 ? 1 : 0;
    // At stride 2 with padding below and right only, as in the U-Net.
    return conv2d(g, x, { weight, bias }, { kernel, stride, padding, paddingEnd: kernel === 3 ? 1 : 0 });
  });
}

function norm(shape: Shape, groups: number, rate = 0): KernelCase {
  return operation(`GroupNorm+SiLU${rate > 0 ? `+dropout ${rate}` : ""}`, shape, (g, x) => {
    const gamma = g.parameter("gamma", "vector", [shape[3]], { kind: "ones" });
    const beta = g.parameter("beta", "vector", [shape[3]], { kind: "zeros" });
    const dropout = rate > 0
      ? { stepState: g.input("stepState", [1, 1, 1, 1], StepStateLayout), rate }
      : undefined;
    return groupNorm(g, x, { gamma, beta }, { groups, eps: 1e-6, activation: "silu" }, dropout);
  });
}

function heads(shape: Shape, count: number): KernelCase {
  const [batch, height, width, channels] = shape;
  const full = `attention, heads: ${count}, [${shape}]`;
  const whole: Operation = (g, leaf) =>
    attention(g, leaf("qkv", [batch, height, width, 3 * channels]), channels, count);
  return { name: full, prepare: (gpu, tuning) => prepare(gpu, full, whole, tuning) };
}

/** A case of launches that are not an operation of a graph. */
function single(
  name: string,
  bytes: number,
  make: (
    gpu: Gpu,
    filled: (bytes: number, label: string) => BufferView,
    target: KernelTarget,
  ) => Launch<BufferView>[],
): KernelCase {
  return {
    name,
    prepare(gpu, { target }) {
      const scope = new ResourceScope(gpu, `bench ${name}`);
      return scope.guard(async () => {
        const filled = (bytes: number, label: string) => {
          const view = scope.buffer(bytes, label);
          fill(gpu, view);
          return view;
        };
        const program = scope.own(await buildProgram(gpu, make(gpu, filled, target)));
        const pieces = [{ part: "", program, flops: program.flops, bytes }];
        return { pieces, destroy: () => scope.destroy() };
      });
    },
  };
}

function product(n: number): KernelCase {
  return single(`product ${n}x${n}x${n}`, 3 * 4 * n * n, (_, filled, target) => {
    const matrix = { rowStride: n, batchStride: n * n, headStride: n * n, transposed: false };
    const shape = { batch: 1, heads: 1, m: n, n, k: n, a: matrix, b: matrix, c: matrix, alpha: 1 };
    const buffer = (name: string) => filled(4 * n * n, name);
    return matmul(target, shape, { a: buffer("a"), b: buffer("b"), c: buffer("c") }, "product");
  });
}

function optimizer(count: number): KernelCase {
  const elements = 64 * Math.floor(count / 64);
  const millions = (elements / 1e6).toFixed(1);
  // Parameters, both moments and the EMA are read and written, gradients only read.
  return single(`AdamW+EMA, ${millions} M parameters`, 9 * 4 * elements, (gpu, filled) => {
    const flat = (name: string) => filled(4 * elements, name);
    const step_state = filled(StepStateLayout.bytes, "step");
    gpu.device.queue.writeBuffer(step_state.buffer, 0, encodeRecord(StepStateLayout, STEP));
    const health = filled(HealthLayout.bytes, "health");
    // Clip scale 1, no non-finite gradient.
    gpu.device.queue.writeBuffer(health.buffer, 0, new Float32Array([1, 1, 0, 0]));
    return adamw({ elements, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 }, {
      step_state,
      health,
      gradients: flat("gradients"),
      parameters: flat("parameters"),
      first_moment: flat("first moment"),
      second_moment: flat("second moment"),
      ema: flat("average"),
    });
  });
}

function noising(batch: number): KernelCase {
  const [height, width, channels] = [32, 32, 3];
  const image = height * width * channels;
  const padded = 4 * height * width * paddedChannels(channels);
  // Reads uint8 images; writes x_t and the target in float32.
  return single(
    `q-sample [${batch},${height},${width},${channels}]`,
    batch * (image + 2 * padded),
    (gpu, filled) => {
      const step_state = filled(StepStateLayout.bytes, "step");
      gpu.device.queue.writeBuffer(
        step_state.buffer,
        0,
        encodeRecord(StepStateLayout, { ...STEP, count: batch }),
      );
      const rows = encodeScheduleTables(objectiveTables(new NoiseSchedule()));
      const schedule = filled(rows.byteLength, "schedule");
      gpu.device.queue.writeBuffer(schedule.buffer, 0, rows);
      const draws = filled(DrawLayout.bytes * batch, "draws");
      const chosen = Array.from({ length: batch }, (_, i) => [i, 7 * i % 1000, i % 2]);
      gpu.device.queue.writeBuffer(draws.buffer, 0, new Uint32Array(chosen.flat()));
      const shape = { batch, height, width, channels, chunkFirst: 0, chunkCount: batch };
      return qSampleForward(shape, {
        step_state,
        images: filled(batch * image, "images"),
        draws,
        schedule,
        x_t: filled(batch * padded, "x_t"),
        targets: filled(batch * padded, "targets"),
      });
    },
  );
}
