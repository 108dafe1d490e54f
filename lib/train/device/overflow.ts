/**
 * Whether numbers too large for float16 become infinite, which WGSL leaves open: the loss scale finds by it that it is
 * too large, and gradients that saturate instead would train something else.
 *
 * @module
 */
import { cast } from "../../../kernels/cast.ts";
import { ConfigError } from "../../errors.ts";
import type { Gpu } from "../../gpu/device.ts";
import { ResourceScope } from "../../gpu/memory.ts";
import { buildProgram, runPrograms } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";

/** Numbers that no way of rounding brings back to the largest float16, 65504. */
const TOO_LARGE = [65536, -65536, 1e9, -3e38];

/** Numbers as the device makes float16 of them. */
type Rounding = (gpu: Gpu, values: readonly number[]) => Promise<Float16Array>;

/**
 * Checks that a device can train in float16.
 *
 * @param rounded default: by the device's own conversion
 * @throws {ConfigError} where a number that is too large does not become infinite
 */
export async function checkOverflow(gpu: Gpu, rounded: Rounding = castOnDevice): Promise<void> {
  const values = await rounded(gpu, TOO_LARGE);
  const wrong = TOO_LARGE.findIndex((x, i) => values[i] !== Math.sign(x) * Infinity);
  if (wrong < 0) return;
  const why = `makes ${values[wrong]} of ${TOO_LARGE[wrong]} in float16, where the loss scale needs infinity`;
  throw new ConfigError(
    "precision",
    "float16",
    `float32 for training, since the adapter ${gpu.adapter.name} ${why}`,
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
    return new Float16Array(bytes);
  } finally {
    scope.destroy();
  }
}
