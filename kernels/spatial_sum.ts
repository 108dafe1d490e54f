/**
 * Launcher of `spatial_sum.wgsl`: sum over the positions of an image.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { spatialSumKernel } from "./sources.ts";

/**
 * `dx[n,first+c] = sum over positions of dy[n,p,c]`; other channels of `dx` are left alone.
 *
 * @param shape samples, positions per image, channels of `dy` without padding; channels `width` of `dx`, and the `first` of
 *   them to write, a multiple of 4
 * @param buffers `dy` [N, P, Cp]; `dx` [N, 1, 1, Wp] in float32
 */
export function spatialSum<B>(
  { batch, spatial, channels, first, width }: Record<
    "batch" | "spatial" | "channels" | "first" | "width",
    number
  >,
  { dy, dx }: { dy: B; dx: B },
  label: string,
): Launch<B>[] {
  const quads = Math.ceil(channels / 4);
  const workgroups: [number, number, number] = [Math.ceil(batch * quads / 64), 1, 1];
  const params = { batch, spatial, quads, first: first / 4, row: Math.ceil(width / 4) };
  return [launch(spatialSumKernel, "sum", params, { dy, dx }, workgroups, { label: `${label}.spatialSum` })];
}
