/**
 * Buffers of a training step other than activations.
 *
 * @module
 */
import { encodeLossScale, initialLossScale } from "../../../kernels/loss_scale.ts";
import { HealthLayout, LogRecordLayout, StepStateLayout } from "../../../kernels/records/layouts.ts";
import {
  encodeScheduleTables,
  encodeVarianceRows,
  type ScheduleTables,
  type VarianceRow,
} from "../../../kernels/records/training.ts";
import type { BufferView, ResourceScope } from "../../gpu/memory.ts";
import type { FlatWindow } from "../../model/flat.ts";
import {
  createWeightBuffers,
  normScratchBytes,
  type OptimizerBuffers,
  type OptimizerOptions,
} from "./optimizer.ts";
import type { DeviceImages } from "./device_images.ts";
import { type BatchOptions, LOG_SLOTS, type StepInputs } from "./step_graph.ts";

/** Noise levels of training: their table and, for a learned variance, the rows of its loss. */
export interface TrainingLevels extends ScheduleTables {
  readonly variances?: readonly VarianceRow[];
}

/** Sizes that follow from the recorded network. */
interface NetworkSizes {
  /** Elements of a flat buffer of all parameters. */
  readonly elements: number;
  readonly windows: readonly FlatWindow[];
  /** Bytes of the estimates of self-conditioning; undefined without. */
  readonly estimateBytes: number | undefined;
  /** Averages with power-function profiles. */
  readonly profiles: number;
  /** Sums of gradients that are not yet whole, at most; 0 where a step has a single micro-batch. */
  readonly sums: number;
}

/** Buffers of a step. */
export interface StepBuffers {
  readonly inputs: StepInputs<BufferView>;
  /** The same for passes without an estimate, which read zeros that nothing overwrites. */
  readonly withoutEstimates: StepInputs<BufferView>;
  /** Gradients of the last micro-batch, flat. */
  readonly gradients: BufferView;
  /** Sums of gradients over micro-batches; see `summation_tree.ts`. */
  readonly sums: readonly BufferView[];
  /** Weights in float16, only in mixed precision. */
  readonly copy: GPUBuffer | undefined;
  /** Those of the update; its gradients are the sum over micro-batches. */
  readonly optimizer: OptimizerBuffers;
}

/**
 * Creates the buffers, and fills those whose contents do not change.
 *
 * @throws {DeviceError} if there is too little device memory
 */
export function createStepBuffers(
  scope: ResourceScope,
  options: BatchOptions & OptimizerOptions,
  levels: TrainingLevels,
  data: DeviceImages,
  { elements, windows, estimateBytes, profiles, sums: sumCount }: NetworkSizes,
): StepBuffers {
  const { precision, logSlots = LOG_SLOTS } = options;
  const mixed = precision === "mixed";
  const estimates = (name: string) =>
    estimateBytes === undefined ? undefined : scope.buffer(estimateBytes, name);
  const given = {
    stepState: scope.buffer(StepStateLayout.bytes, "step state"),
    order: data.order,
    images: data.chunks.map(({ images }) => images),
    imageLabels: data.labels,
    schedule: scope.upload(encodeScheduleTables(levels), "schedule"),
    variances: levels.variances && scope.upload(encodeVarianceRows(levels.variances), "variances"),
    log: scope.buffer(LogRecordLayout.bytes * logSlots, "log"),
    lossScale: mixed ? scope.upload(encodeLossScale(initialLossScale(options)), "loss scale") : undefined,
  };
  const { stepState, log, lossScale } = given;
  const gradients = scope.buffer(4 * elements, "gradients");
  const sums = Array.from(
    { length: sumCount },
    (_, i) => scope.buffer(4 * elements, `gradient sum ${i + 1}`),
  );
  return {
    inputs: { ...given, estimate: estimates("estimates") },
    withoutEstimates: { ...given, estimate: estimates("no estimates") },
    gradients,
    sums,
    copy: mixed ? scope.buffer(2 * elements, "weights in float16").buffer : undefined,
    optimizer: {
      stepState,
      log,
      lossScale,
      gradients: sums[0] ?? gradients,
      weights: createWeightBuffers(scope, elements, profiles),
      partials: scope.buffer(normScratchBytes(windows), "norm partials"),
      health: scope.buffer(HealthLayout.bytes, "health"),
      profileRates: profiles === 0 ? undefined : scope.buffer(4 * profiles, "profile rates"),
    },
  };
}
