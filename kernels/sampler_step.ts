/**
 * Launchers of a sampling step: initial noise (`slot_noise.wgsl`), network inputs (`slot_inputs.wgsl`), guided outputs
 * (`guidance.wgsl`, `guidance_rescale.wgsl`) and the sampler's update (`sampler_step.wgsl`).
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import {
  guidanceKernel,
  guidanceRescaleKernel,
  samplerStepKernel,
  slotInputsKernel,
  slotNoiseKernel,
} from "./sources.ts";

/** Shape of a sampling batch. */
export interface SlotShape {
  /** Number of slots `S`: images sampled at a time. */
  readonly slots: number;
  readonly height: number;
  readonly width: number;
  /** Channels of an image, 3 for RGB. */
  readonly channels: number;
  /** Channels of the network's output, twice as many with a learned variance. */
  readonly outChannels: number;
}

/** Buffers of {@linkcode slotNoise}. */
export interface SlotNoiseBuffers<B> {
  /** From `encodeSlots`. */
  readonly slots: B;
  /** In and out: `[S, H, W, Cp]`. */
  readonly x: B;
}

/** Writes initial noise to occupied slots at their first step; the others keep their x. */
export function slotNoise<B>(shape: SlotShape, buffers: SlotNoiseBuffers<B>): Launch<B>[] {
  const { slots, channels } = shape;
  const params = { slots, per_slot: perSlot(shape), channels };
  return [launch(slotNoiseKernel, "slot_noise", params, { ...buffers }, grid1d(slots * perSlot(shape), 64))];
}

/** Buffers of {@linkcode slotInputs}; `R` is the network's batch. */
export interface SlotInputsBuffers<B> {
  /** From `encodeSlots`. */
  readonly slots: B;
  /** From `encodeRows`. */
  readonly rows: B;
  /** `[S, H, W, Cp]`. */
  readonly x: B;
  /** Out: `[R, H, W, Cp]`, the network's input. */
  readonly input: B;
  /** Out: `[R]` f32. */
  readonly timestep: B;
  /** Out: `[R]` u32; an unconditional network ignores it. */
  readonly label: B;
}

/**
 * Writes the network's inputs from the slots.
 *
 * @param rows the network's batch `R`
 */
export function slotInputs<B>(
  shape: SlotShape,
  rows: number,
  buffers: SlotInputsBuffers<B>,
): Launch<B>[] {
  const params = { rows, per_slot: perSlot(shape) };
  return [launch(slotInputsKernel, "slot_inputs", params, { ...buffers }, grid1d(rows * perSlot(shape), 64))];
}

/** Buffers of {@linkcode slotEstimates}. */
export interface SlotEstimatesBuffers<B> extends Pick<SlotInputsBuffers<B>, "slots" | "rows"> {
  /** `[S, H, W, Cp]`, the latest estimate of x_0. */
  readonly h1: B;
  /** Out: `[R, H, W, Cp]`, the network's second input. */
  readonly estimate: B;
}

/**
 * Writes the second input of a network with self-conditioning: its slots' estimates of x_0, and zeros at their first step.
 *
 * @param rows the network's batch `R`
 */
export function slotEstimates<B>(
  shape: SlotShape,
  rows: number,
  buffers: SlotEstimatesBuffers<B>,
): Launch<B>[] {
  const params = { rows, per_slot: perSlot(shape) };
  return [
    launch(slotInputsKernel, "slot_estimates", params, { ...buffers }, grid1d(rows * perSlot(shape), 64)),
  ];
}

/** Buffers of {@linkcode guidance}; `R` is the network's batch. */
export interface GuidanceBuffers<B> {
  /** From `encodeSlots`. */
  readonly slots: B;
  /** From `encodeRows`. */
  readonly rows: B;
  /** `[R, H, W, Op]`, the network's output. */
  readonly model_out: B;
  /** Out: `[S, H, W, Op]`. */
  readonly out: B;
}

/**
 * Adds up the weighted outputs of each occupied slot's rows.
 *
 * @param guide true to add those of the guiding network
 */
export function guidance<B>(shape: SlotShape, buffers: GuidanceBuffers<B>, guide = false): Launch<B>[] {
  const { slots, outChannels } = shape;
  const perOutput = perSlot({ ...shape, channels: outChannels });
  const params = { slots, per_slot: perOutput, guide: Number(guide) };
  return [launch(guidanceKernel, "guidance", params, { ...buffers }, grid1d(slots * perOutput, 64))];
}

/** Rescales the guided outputs of slots that ask for it, after {@linkcode guidance} with the same buffers. */
export function guidanceRescale<B>(shape: SlotShape, buffers: GuidanceBuffers<B>): Launch<B>[] {
  const { slots, height, width, channels, outChannels } = shape;
  const params = {
    per_slot: perSlot({ ...shape, channels: outChannels }),
    columns: Math.ceil(outChannels / 4),
    channels,
    values: height * width * channels,
  };
  return [launch(guidanceRescaleKernel, "guidance_rescale", params, { ...buffers }, [slots, 1, 1])];
}

/** Buffers of {@linkcode samplerStep}. */
export interface SamplerStepBuffers<B> {
  /** From `encodeSlots`. */
  readonly slots: B;
  /** `[S, H, W, Op]`, the slots' outputs, from {@linkcode guidance}. */
  readonly out: B;
  /** In and out: `[S, H, W, Cp]`. */
  readonly x: B;
  /** In and out: `[S, H, W, Cp]`, the latest estimate of x_0. */
  readonly h1: B;
  /** In and out: `[S, H, W, Cp]`, the estimate of x_0 before that. */
  readonly h2: B;
  /** `[S, H, W, Cp]`, known images. */
  readonly known: B;
  /** `[S, H, W]`, 1 where a slot's image is drawn anew, 0 where it is the known one. */
  readonly mask: B;
}

/** Runs one sampler step in every occupied slot. */
export function samplerStep<B>(shape: SlotShape, buffers: SamplerStepBuffers<B>): Launch<B>[] {
  const { slots, channels, outChannels } = shape;
  const params = { slots, per_slot: perSlot(shape), channels, out_stride: 4 * Math.ceil(outChannels / 4) };
  return [
    launch(samplerStepKernel, "sampler_step", params, { ...buffers }, grid1d(slots * perSlot(shape), 64)),
  ];
}

/** Vec4s per image. */
function perSlot({ height, width, channels }: Pick<SlotShape, "height" | "width" | "channels">): number {
  return height * width * Math.ceil(channels / 4);
}
