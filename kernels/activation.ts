/**
 * Launchers of `activation.wgsl`: activations and their gradients.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { type Activation, withActivation } from "./activation_source.ts";
import { activationKernel } from "./sources.ts";

/** An activation of a tensor. */
export interface ActivationShape {
  /** Number of floats, padding included; a multiple of 4. */
  readonly elements: number;
  readonly activation: Activation;
}

/** Vec4s per workgroup: 256 invocations of 4. */
const PER_WORKGROUP = 1024;

/**
 * `y = f(x)`.
 *
 * @param buffers `x`, `y` of `elements` floats
 */
export function activationForward<B>(
  { elements, activation }: ActivationShape,
  { x, y }: { x: B; y: B },
  label = "activation",
): Launch<B>[] {
  const count = elements / 4;
  return [
    launch(
      withActivation(activationKernel, activation),
      "forward",
      { count },
      { x, y },
      grid1d(count, PER_WORKGROUP),
      {
        label,
      },
    ),
  ];
}

/**
 * Gradient of {@linkcode activationForward}: `dx = addend + dy f'(x)`.
 *
 * @param buffers `x`, `dy`, `addend`, `dx` of `elements` floats
 */
export function activationBackward<B>(
  { elements, activation }: ActivationShape,
  { x, dy, addend, dx }: { x: B; dy: B; addend?: B; dx: B },
  label = "activation gradient",
): Launch<B>[] {
  const count = elements / 4;
  const constants = { has_addend: Number(addend !== undefined) };
  // All declared buffers must be bound; dy stands in for an absent addend, which is not read.
  const buffers = { x, dy, addend: addend ?? dy, dx };
  return [
    launch(
      withActivation(activationKernel, activation),
      "backward",
      { count },
      buffers,
      grid1d(count, PER_WORKGROUP),
      {
        constants,
        label,
      },
    ),
  ];
}
