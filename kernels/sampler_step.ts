/**
 * A sampling step around the network: initial noise, the network's inputs, and the sampler's update; see
 * slot_noise.wgsl, slot_inputs.wgsl and sampler_step.wgsl.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { sampler_step, slot_inputs, slot_noise } from "./sources.ts";

/** Shape of a sampling batch. */
export interface SlotShape {
  /** Images `S` that may be under way at once. */
  readonly slots: number;
  readonly height: number;
  readonly width: number;
  /** Channels of an image, 3 for RGB. */
  readonly channels: number;
  /** The network is asked twice for each image, with and without its class: rows `0 … S-1` and `S … 2S-1`. */
  readonly guided: boolean;
}

/** Buffers of {@linkcode slotNoise}. */
export interface SlotNoiseBuffers<B> {
  /** From `encodeSlots`. */
  readonly slots: B;
  /** In and out: `[S, H, W, Cp]`. */
  readonly x: B;
}

/** Fills the occupied slots at step 0 with their image's initial noise and leaves the others alone. */
export function slotNoise<B>(shape: SlotShape, buffers: SlotNoiseBuffers<B>): Launch<B>[] {
  const { slots, channels } = shape;
  const params = { slots, per_slot: perSlot(shape), channels };
  return [launch(slot_noise, "slot_noise", params, { ...buffers }, grid1d(slots * perSlot(shape), 64))];
}

/** Buffers of {@linkcode slotInputs}; `M` is `2S` where guided, else `S`. */
export interface SlotInputsBuffers<B> {
  /** From `encodeSlots`. */
  readonly slots: B;
  /** From `encodePlan`. */
  readonly plan: B;
  /** `[S, H, W, Cp]`. */
  readonly x: B;
  /** Out: `[M, H, W, Cp]`, the network's input. */
  readonly input: B;
  /** Out: `[M]` f32. */
  readonly timestep: B;
  /** Out: `[M]` u32; an unconditional network ignores it. */
  readonly label: B;
}

/**
 * Writes what the network is asked.
 *
 * @param classes number of classes, which is the null label of the unconditional half
 */
export function slotInputs<B>(
  shape: SlotShape,
  classes: number,
  buffers: SlotInputsBuffers<B>,
): Launch<B>[] {
  const copies = shape.guided ? 2 : 1;
  const params = { slots: shape.slots, copies, per_slot: perSlot(shape), classes };
  const workgroups = grid1d(copies * shape.slots * perSlot(shape), 64);
  return [launch(slot_inputs, "slot_inputs", params, { ...buffers }, workgroups)];
}

/** Buffers of {@linkcode samplerStep}; `M` is `2S` where guided, else `S`. */
export interface SamplerStepBuffers<B> {
  /** From `encodeSlots`. */
  readonly slots: B;
  /** From `encodePlan`. */
  readonly plan: B;
  /** `[M, H, W, Cp]`, the network's output. */
  readonly model_out: B;
  /** In and out: `[S, H, W, Cp]`. */
  readonly x: B;
  /** Out: `[S, H, W, Cp]`, the estimate of the finished image. */
  readonly preview: B;
}

/** Takes every occupied slot one step on. */
export function samplerStep<B>(shape: SlotShape, buffers: SamplerStepBuffers<B>): Launch<B>[] {
  const { slots, channels, guided } = shape;
  const params = { slots, copies: guided ? 2 : 1, per_slot: perSlot(shape), channels };
  return [launch(sampler_step, "sampler_step", params, { ...buffers }, grid1d(slots * perSlot(shape), 64))];
}

/** vec4s per image. */
function perSlot({ height, width, channels }: SlotShape): number {
  return height * width * Math.ceil(channels / 4);
}
