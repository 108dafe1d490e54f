/**
 * Launchers of `silu.wgsl`: SiLU and its gradient.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { siluKernel } from "./sources.ts";

/** Size of an elementwise operation. */
export interface ElementwiseShape {
  /** Number of floats, padding included; a multiple of 4. */
  readonly elements: number;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * `y = x / (1 + exp(-x))`.
 *
 * @param buffers `x`, `y` of `elements` floats
 */
export function siluForward<B>(
  { elements }: ElementwiseShape,
  { x, y }: { x: B; y: B },
  label = "silu",
): Launch<B>[] {
  const count = elements / 4;
  return [launch(siluKernel, "forward", { count }, { x, y }, grid1d(count, PER_WORKGROUP), { label })];
}

/**
 * Gradient of {@linkcode siluForward}: `dx = addend + dy * silu'(x)`.
 *
 * @param buffers `x`, `dy`, `addend`, `dx` of `elements` floats
 */
export function siluBackward<B>(
  { elements }: ElementwiseShape,
  { x, dy, addend, dx }: { x: B; dy: B; addend?: B; dx: B },
  label = "silu gradient",
): Launch<B>[] {
  const count = elements / 4;
  const constants = { has_addend: Number(addend !== undefined) };
  // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
  const buffers = { x, dy, addend: addend ?? dy, dx };
  return [
    launch(siluKernel, "backward", { count }, buffers, grid1d(count, PER_WORKGROUP), { constants, label }),
  ];
}
