/**
 * Precision of a network's arithmetic: float32, or mixed.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { AdapterDescription, Gpu } from "../gpu/device.ts";
import { checkMatrices } from "../gpu/matrix_check.ts";
import type { FloatType } from "../graph/tensor.ts";

/**
 * `mixed` (Micikevicius et al. 2018): activations, their gradients and the weights of matrix products are float16, products
 * run on matrix units with float32 sums; master weights, statistics, weight gradients and the time embedding are float32.
 */
export type Precision = "float32" | "mixed";

/** Supported precisions. */
export const PRECISIONS: readonly Precision[] = ["float32", "mixed"];

/** Removed precisions, each with what to use instead and why. */
export const REMOVED_PRECISIONS: Readonly<Record<string, string>> = {
  float16:
    "float32, or mixed with backend dawn on a GPU with matrix units (float16 without them ran at 0.53 x " +
    "float32 on an NVIDIA H200)",
};

/** A precision's meaning in help texts. */
export const PRECISION_HELP =
  "arithmetic; mixed: activations in float16, half their memory, and products on matrix units, which backend dawn offers " +
  "on GPUs that have them";

/** The default in help texts, see {@linkcode defaultPrecision}. */
export const PRECISION_DEFAULT = "mixed where the adapter has matrix units, else float32";

/** WebGPU feature of float16 in kernels. */
const FEATURE = "shader-f16";

/** Fields of an adapter on which its precisions depend. */
type Capabilities = Pick<AdapterDescription, "features" | "matrices" | "matrixFault">;

/** Fields of an adapter that checks and messages need. */
export type PrecisionAdapter = Capabilities & Pick<AdapterDescription, "name" | "backend">;

/** Storage type of activations, their gradients, and the weights that matrix products read. */
export function storageType(precision: Precision = "float32"): FloatType {
  return precision === "mixed" ? "float16" : "float32";
}

/** A precision in a description of a network, e.g. after `tiny network`. */
export function inPrecision(precision: Precision): string {
  return precision === "mixed" ? " in mixed precision" : " in float32";
}

/** Precision of a new run or a loaded model if none is given. Emulated matrix units are slow, so mixed precision on them must be
 * asked for. */
export function defaultPrecision(adapter: Capabilities): Precision {
  const fast = adapter.matrices !== undefined && adapter.matrices.dialect !== "emulation";
  return fast && adapter.features.includes(FEATURE) ? "mixed" : "float32";
}

/**
 * Checks the matrix units that a precision uses, before the adapter's default or what it supports is asked for. That
 * compiles 40 kernels, which takes up to two seconds, so float32 goes without.
 *
 * @param precision undefined: the adapter's default
 * @param onWarning called if the units fail and are not used
 */
export async function prepareMatrices(
  gpu: Gpu,
  precision: Precision | undefined,
  onWarning?: (message: string) => void,
): Promise<void> {
  if (precision !== "float32") await checkMatrices(gpu, onWarning);
}

/**
 * Reason why an adapter does not support a precision, as in `because …`; undefined if it does.
 */
export function precisionProblem(
  { name, backend, features, matrices, matrixFault }: PrecisionAdapter,
  precision: Precision,
): string | undefined {
  if (precision === "float32") return undefined;
  if (!features.includes(FEATURE)) return `the adapter ${name} has no ${FEATURE}`;
  if (matrices) return undefined;
  if (matrixFault !== undefined) return `the matrix units of ${name} fail a check: ${matrixFault}`;
  const problem = `the adapter ${name} has no matrix units for float16 with float32 sums`;
  return backend === "dawn" ? problem : `${problem} (backend dawn offers those of a GPU)`;
}

/**
 * Checks that a device supports a precision.
 * @throws {ConfigError} if the precision is unknown or the device does not support it
 */
export function checkPrecision(
  adapter: PrecisionAdapter,
  precision: Precision,
): void {
  if (!PRECISIONS.includes(precision)) {
    throw new ConfigError("precision", precision, REMOVED_PRECISIONS[precision] ?? PRECISIONS.join(" or "));
  }
  const problem = precisionProblem(adapter, precision);
  if (problem !== undefined) throw new ConfigError("precision", precision, `float32, because ${problem}`);
}
