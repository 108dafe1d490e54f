/**
 * Whether a network computes with activations in float32 or float16.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { FloatType } from "../graph/tensor.ts";

/**
 * How activations, their gradients and the weights of products lie in memory. With `float16` everything else (the weights
 * that are trained, sums, statistics, gradients of weights) is float32 all the same.
 */
export type Precision = FloatType;

/** The precisions. */
export const PRECISIONS: readonly Precision[] = ["float32", "float16"];

/** A precision's meaning in help texts. */
export const PRECISION_HELP =
  "how activations lie in memory; float16 halves that memory, rounds more, and needs an adapter with shader-f16";

/** The WebGPU feature that float16 needs. */
const FEATURE = "shader-f16";

/**
 * Checks a precision against a device.
 * @throws {ConfigError} for one that there is not, or that the device cannot compute with
 */
export function checkPrecision(gpu: Pick<Gpu, "adapter">, precision: Precision): void {
  if (!PRECISIONS.includes(precision)) throw new ConfigError("precision", precision, PRECISIONS.join(" or "));
  const { name, features } = gpu.adapter;
  if (precision === "float16" && !features.includes(FEATURE)) {
    throw new ConfigError("precision", precision, `float32, since the adapter ${name} has no ${FEATURE}`);
  }
}
