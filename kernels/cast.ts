/**
 * Launcher of `cast.wgsl`: conversion from float32 to float16.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { castKernel } from "./sources.ts";
import { storedIn } from "./storage.ts";

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * `y = x`, rounded to float16.
 *
 * @param elements number of values, a multiple of 4
 * @param buffers `x` float32, `y` float16
 */
export function cast<B>(elements: number, { x, y }: { x: B; y: B }, label = "cast"): Launch<B>[] {
  const count = elements / 4;
  return storedIn(true, [
    launch(castKernel, "forward", { count }, { x, y }, grid1d(count, PER_WORKGROUP), { label }),
  ]);
}
