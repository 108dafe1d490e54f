/** Golden cases as they are stored, between PyTorch's layout and the device's, and compared. */
import { AssertionError } from "node:assert";
import type { HostTensor, ParameterTable } from "../../lib/model/parameters.ts";
import { assertClose } from "../support/close.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { type Digest, digestIndices, goldenParameter } from "./formula.ts";

type Digests = Readonly<Record<string, Digest>>;

/** A `unet_*.json` of one forward and backward pass. */
export interface NetworkCase {
  readonly case: string;
  readonly config: Record<string, unknown>;
  readonly inputs: {
    /** NCHW. */
    readonly shape: readonly [number, number, number, number];
    readonly timesteps: number[];
    readonly labels: number[] | null;
  };
  readonly loss: number;
  readonly float32: { readonly output: number; readonly loss: number; readonly gradients: number };
  readonly output: Digest;
  readonly activations: Digests;
  readonly gradients: Digests;
}

/** A `unet_train_*.json`: ten training steps. */
export interface TrainingCase {
  readonly case: string;
  readonly config: Record<string, unknown>;
  /** NCHW. */
  readonly shape: readonly [number, number, number, number];
  readonly options: Readonly<
    Record<"lr" | "warmup" | "clip" | "ema" | "beta1" | "beta2" | "eps" | "weightDecay", number>
  >;
  readonly float32: Readonly<Record<"loss" | "gradNorm" | "weights" | "ema", number>>;
  readonly steps: Readonly<Record<string, TrainingCaseStep>>;
  readonly weights: Digests;
  readonly emaWeights: Digests;
}

export interface TrainingCaseStep {
  readonly timesteps: number[];
  readonly labels: number[];
  readonly loss: number;
  readonly gradNorm: number;
  readonly lr: number;
}

export function loadNetworkCase(name: string): NetworkCase {
  return load(name) as NetworkCase;
}

export function loadTrainingCase(name: string): TrainingCase {
  return load(name) as TrainingCase;
}

function load(name: string): unknown {
  return JSON.parse(Deno.readTextFileSync(new URL(`unet_${name}.json`, import.meta.url)));
}

/** The parameters of a golden network, laid out for the device. */
export function goldenWeights(caseName: string, table: ParameterTable): Float32Array<ArrayBuffer> {
  const tensors = table.parameters.map(({ name, shape }): [string, HostTensor] => [
    name,
    { shape, data: goldenParameter(caseName, name, shape) },
  ]);
  return table.toMemory(new Map(tensors), caseName);
}

type Nchw = readonly number[];

/** [N,C,H,W], or [N,C], to the device's NHWC with padded channels. */
export function toDevice(data: ArrayLike<number>, shape: Nchw): Float32Array {
  const rows = new Float32Array(data.length);
  eachElement(shape, (nchw, nhwc) => rows[nhwc] = data[nchw]);
  return packChannels(rows, shape[1]);
}

/** The inverse of {@linkcode toDevice}; throws where a padding lane is not zero. */
export function fromDevice(memory: Float32Array, shape: Nchw): Float32Array {
  const rows = unpackChannels(memory, shape[1]);
  const data = new Float32Array(rows.length);
  eachElement(shape, (nchw, nhwc) => data[nchw] = rows[nhwc]);
  return data;
}

function eachElement(
  [batch, channels, height = 1, width = 1]: Nchw,
  visit: (nchw: number, nhwc: number) => void,
) {
  const pixels = height * width;
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++) {
        visit((n * channels + c) * pixels + p, (n * pixels + p) * channels + c);
      }
    }
  }
}

/**
 * Holds a tensor against its digest: the stored elements, and through norm and sum all others.
 *
 * @param data in the digest's layout
 * @param absolute allowed deviation of an element
 */
export function assertDigest(data: Float32Array, digest: Digest, absolute: number, what: string): void {
  const size = digest.shape.reduce((product, length) => product * length, 1);
  if (data.length !== size) {
    throw new AssertionError({ message: `${what}: ${data.length} elements, expected ${size}` });
  }
  const indices = digestIndices(digest);
  assertClose(indices.map((i) => data[i]), digest.values, { absolute }, `${what}, stored element`);
  let sum = 0;
  let squares = 0;
  for (const value of data) {
    sum += value;
    squares += value * value;
  }
  // Deviations of all elements at once may at worst move the norm by `root` times as much, and the sum by `size` times.
  const root = Math.sqrt(size);
  assertClose([Math.sqrt(squares)], [digest.norm], { absolute: absolute * root }, `${what}, norm`);
  assertClose([sum], [digest.sum], { absolute: absolute * size }, `${what}, sum`);
}
