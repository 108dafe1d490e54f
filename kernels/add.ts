/**
 * Launcher of `add.wgsl`: elementwise sum of two tensors.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { addKernel } from "./sources.ts";

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * `y = a + b`. The gradient of each input is that of `y`, so there is no backward launcher.
 *
 * @param shape `elements`: number of floats, padding included; a multiple of 4
 * @param buffers `a`, `b`, `y` of `elements` floats
 */
export function addForward<B>(
  { elements }: { readonly elements: number },
  { a, b, y }: { a: B; b: B; y: B },
  label = "add",
): Launch<B>[] {
  const count = elements / 4;
  return [launch(addKernel, "forward", { count }, { a, b, y }, grid1d(count, PER_WORKGROUP), { label })];
}
