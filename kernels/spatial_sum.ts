/**
 * Launcher of `spatial_sum.wgsl`: sum over the positions of an image.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { spatialSumKernel } from "./sources.ts";

/**
 * `dx[n,c] = addend[n,c] + sum over positions of dy[n,p,c]`.
 *
 * @param shape samples, positions per image, channels without padding
 * @param buffers `dy` [N, P, Cp]; `dx`, `addend` [N, 1, 1, Cp]
 */
export function spatialSum<B>(
  { batch, spatial, channels }: { batch: number; spatial: number; channels: number },
  { dy, addend, dx }: { dy: B; addend?: B; dx: B },
  label: string,
): Launch<B>[] {
  const quads = Math.ceil(channels / 4);
  const workgroups: [number, number, number] = [Math.ceil(batch * quads / 64), 1, 1];
  return [
    launch(spatialSumKernel, "sum", { batch, spatial, quads }, { dy, addend: addend ?? dy, dx }, workgroups, {
      constants: { has_addend: addend ? 1 : 0 },
      label: `${label}.spatialSum`,
    }),
  ];
}
