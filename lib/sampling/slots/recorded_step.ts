/**
 * Launches of a sampling step at one batch size: initial noise, inputs of the network, the network, guidance, and the
 * sampler's update. With a guiding network its pass comes between guidance and update.
 *
 * @module
 */
import { storedIn } from "../../../kernels/storage.ts";
import {
  guidance,
  type GuidanceBuffers,
  guidanceRescale,
  samplerStep,
  slotEstimates,
  slotInputs,
  slotNoise,
  type SlotShape,
} from "../../../kernels/sampler_step.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { BufferView, ResourceScope } from "../../gpu/memory.ts";
import { imageChannels, imageSize, type UNetConfig } from "../../model/config.ts";
import type { BatchedNetwork } from "./batched_network.ts";
import type { SlotViews } from "./slot_buffers.ts";

/** Launches of a step: `own` or `guided`, then perhaps `rescale`, then `update`. */
export interface RecordedStep {
  /** From the initial noise to guidance. */
  readonly own: readonly Launch<BufferView>[];
  /** The same with the guiding network. */
  readonly guided: readonly Launch<BufferView>[] | undefined;
  /** Rescaled guidance, needed only if a slot asks for it. */
  readonly rescale: readonly Launch<BufferView>[];
  /** The sampler's update. */
  readonly update: readonly Launch<BufferView>[];
}

/** A network's pass over its rows. */
interface RecordedPass {
  readonly inputs: Launch<BufferView>[];
  readonly forward: readonly Launch<BufferView>[];
  readonly outputs: GuidanceBuffers<BufferView>;
}

/** Networks and buffers, the same for all batch sizes. */
export interface StepRecording {
  /** Configuration of the networks. */
  readonly config: UNetConfig;
  /** True for activations in float16. */
  readonly half: boolean;
  readonly main: BatchedNetwork;
  readonly guide: BatchedNetwork | undefined;
  readonly views: SlotViews;
  /** Owner of further buffers. */
  readonly scope: ResourceScope;
}

/**
 * Records a step.
 *
 * @param rows rows of each network's batch
 * @param slots slots that the step advances, the first ones
 */
export function recordStep(recording: StepRecording, rows: number, slots: number): RecordedStep {
  const { config, half, main, guide, views } = recording;
  const { slots: records, x, out, preview, earlier, known, mask } = views;
  const [height, width] = imageSize(config);
  const { outChannels } = config;
  const shape = { slots, height, width, channels: imageChannels(config), outChannels };
  const own = recordPass(recording, main, views.rows, rows, shape);
  const unguided = [
    ...storedIn(half, [...slotNoise(shape, { slots: records, x }), ...own.inputs]),
    ...own.forward,
    ...storedIn(half, guidance(shape, own.outputs)),
  ];
  const second = guide && recordPass(recording, guide, views.guideRows, rows, shape);
  return {
    own: unguided,
    guided: second && [
      ...unguided,
      ...storedIn(half, second.inputs),
      ...second.forward,
      ...storedIn(half, guidance(shape, second.outputs, true)),
    ],
    rescale: storedIn(half, guidanceRescale(shape, own.outputs)),
    update: storedIn(
      half,
      samplerStep(shape, { slots: records, out, x, h1: preview, h2: earlier, known, mask }),
    ),
  };
}

/** @param assigned records of the network's rows */
function recordPass(
  { views: { slots, x, out, preview: h1 }, scope }: StepRecording,
  network: BatchedNetwork,
  assigned: BufferView,
  rows: number,
  shape: SlotShape,
): RecordedPass {
  const { inputs, launches, prediction } = network.pass(rows);
  const { x: input, estimate, timesteps: timestep } = inputs;
  // The kernel writes labels for unconditional networks, too.
  const label = inputs.labels ?? scope.buffer(4 * rows, "labels");
  const records = { slots, rows: assigned };
  return {
    inputs: [
      ...slotInputs(shape, rows, { ...records, x, input, timestep, label }),
      ...estimate ? slotEstimates(shape, rows, { ...records, h1, estimate }) : [],
    ],
    forward: launches,
    outputs: { ...records, model_out: prediction, out },
  };
}
