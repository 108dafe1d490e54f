/**
 * Shape and launch parameters of kernels over squares of 2 x 2 pixels (`include/squares.wgsl`).
 *
 * @module
 */
import { grid1d } from "./source.ts";

/** Shape of the small tensor, which has one pixel for each square of the large one. */
export interface SquaresShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Channels without padding. */
  readonly channels: number;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/** Parameters and workgroups of a launch. */
export function squaresLaunch({ batch, height, width, channels }: SquaresShape): {
  params: { count: number; width: number; columns: number };
  workgroups: readonly [number, number, number];
} {
  const columns = Math.ceil(channels / 4);
  const count = batch * height * width * columns;
  return { params: { count, width, columns }, workgroups: grid1d(count, PER_WORKGROUP) };
}

/** Buffers and constants of a gradient; all declared buffers must be bound, so dy stands in for an absent addend, which is not read. */
export function squaresGradient<B>({ dy, addend, dx }: { dy: B; addend?: B; dx: B }): {
  buffers: { dy: B; addend: B; dx: B };
  constants: { has_addend: number };
} {
  return {
    buffers: { dy, addend: addend ?? dy, dx },
    constants: { has_addend: Number(addend !== undefined) },
  };
}
