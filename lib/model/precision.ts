/**
 * Precision of a network's activations: float32 or float16.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { FloatType } from "../graph/tensor.ts";

/**
 * Storage type of activations, their gradients, and the weights that matrix products read. With `float16` all else (master
 * weights, sums, statistics, weight gradients) stays float32.
 */
export type Precision = FloatType;

/** Supported precisions. */
export const PRECISIONS: readonly Precision[] = ["float32", "float16"];

/** A precision's meaning in help texts. */
export const PRECISION_HELP =
  "storage type of activations; float16 halves their memory, rounds more, and needs an adapter with shader-f16";

/** WebGPU feature that float16 requires. */
const FEATURE = "shader-f16";

/**
 * Checks that a device supports a precision.
 * @throws {ConfigError} if the precision is unknown or the device does not support it
 */
export function checkPrecision(gpu: Pick<Gpu, "adapter">, precision: Precision): void {
  if (!PRECISIONS.includes(precision)) throw new ConfigError("precision", precision, PRECISIONS.join(" or "));
  const { name, features } = gpu.adapter;
  if (precision === "float16" && !features.includes(FEATURE)) {
    throw new ConfigError("precision", precision, `float32, since the adapter ${name} has no ${FEATURE}`);
  }
}
