/**
 * Check that float16 overflows to infinity on a device, which WGSL does not guarantee: dynamic loss scaling detects overflow
 * by it, and gradients that saturate instead would silently be wrong.
 *
 * @module
 */
import { cast } from "../../../kernels/cast.ts";
import { ConfigError } from "../../errors.ts";
import type { Gpu } from "../../gpu/device.ts";
import { ResourceScope } from "../../gpu/memory.ts";
import { buildProgram, runPrograms } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";

/** Numbers that exceed the largest float16, 65504, in any rounding mode. */
const TOO_LARGE = [65536, -65536, 1e9, -3e38];

/** Conversion of numbers to float16 on a device. */
type Rounding = (gpu: Gpu, values: readonly number[]) => Promise<Float16Array>;

/**
 * Checks that a device can train in mixed precision.
 *
 * @param rounded conversion to check; default the device's own
 * @throws {ConfigError} if a number that is too large does not become infinite
 */
export async function checkOverflow(gpu: Gpu, rounded: Rounding = castOnDevice): Promise<void> {
  const values = await rounded(gpu, TOO_LARGE);
  const wrong = TOO_LARGE.findIndex((x, i) => values[i] !== Math.sign(x) * Infinity);
  if (wrong < 0) return;
  const why = `converts ${TOO_LARGE[wrong]} to ${
    values[wrong]
  } in float16, where loss scaling needs infinity`;
  throw new ConfigError(
    "precision",
    "mixed",
    `float32 for training, because the adapter ${gpu.adapter.name} ${why}`,
  );
}

async function castOnDevice(gpu: Gpu, values: readonly number[]): Promise<Float16Array> {
  const scope = new ResourceScope(gpu, "overflow check");
  try {
    const x = scope.buffer(4 * values.length, "x");
    const y = scope.buffer(2 * values.length, "y");
    gpu.device.queue.writeBuffer(x.buffer, x.offset, Float32Array.from(values));
    runPrograms(gpu, [scope.own(await buildProgram(gpu, cast(values.length, { x, y })))]);
    const [bytes] = await readBack(gpu, [y]);
    return new Float16Array(bytes!); // one per view
  } finally {
    scope.destroy();
  }
}
