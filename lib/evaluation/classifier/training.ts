/**
 * Training of the classifier: cross-entropy with label smoothing on shifted and mirrored images, AdamW at a one-cycle learning
 * rate, and a moving average of the weights, which is what is kept.
 *
 * @module
 */
import { STREAM } from "../../../kernels/records/step_state.ts";
import type { StepState } from "../../../kernels/records/step_state.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { checkWhole } from "../../checks.ts";
import type { ImageDataset } from "../../data/dataset.ts";
import { ConfigError, TrainingError } from "../../errors.ts";
import type { Gpu } from "../../gpu/device.ts";
import { Pace } from "../../gpu/pace.ts";
import { readBack } from "../../gpu/readback.ts";
import type { HostTensor } from "../../model/parameters.ts";
import { permutation, splitSeed } from "../../random.ts";
import { ResidentDataset } from "../../train/device/resident.ts";
import { LOG_SLOTS } from "../../train/device/step_graph.ts";
import { classConsistency } from "../class_scores.ts";
import type { ClassifierConfig } from "./config.ts";
import { oneCycle } from "./learning_rate.ts";
import { ClassifierPass } from "./pass.ts";
import { ClassifierStep } from "./step.ts";

/** Settings of a training run. */
export interface ClassifierSettings {
  /** Passes over the training images, 1 or more. */
  readonly epochs: number;
  /** Images per step. */
  readonly batch: number;
  /** Peak learning rate. */
  readonly learningRate: number;
  /** Decoupled weight decay of AdamW. */
  readonly weightDecay: number;
  /** Label smoothing, 0 to 1. */
  readonly smoothing: number;
  /** Largest shift of the random crops, pixels. */
  readonly shift: number;
  /** Seed of weights, order and augmentation. */
  readonly seed: number;
}

/** What to train, and on what. */
export interface ClassifierRun {
  readonly gpu: Gpu;
  readonly config: ClassifierConfig;
  readonly settings: ClassifierSettings;
  readonly train: ImageDataset;
  /** Images that the accuracy is measured on. */
  readonly test: ImageDataset;
  /** Ends training early, after the present step. */
  readonly signal?: AbortSignal;
  /** Kernel variants; default those for the device. */
  readonly target?: KernelTarget;
}

/** Progress of a run. */
export interface ClassifierProgress {
  /** Steps done. */
  readonly step: number;
  readonly totalSteps: number;
  /** Mean loss of the steps since the last report. */
  readonly loss: number;
}

/** A trained classifier. */
export interface TrainedClassifier {
  /** Moving average of the weights, by checkpoint key. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** Share of the test images whose largest probability is that of their class. */
  readonly accuracy: number;
  /** Steps done. */
  readonly step: number;
  readonly totalSteps: number;
}

const BETA1 = 0.9;
const BETA2 = 0.99;
/** Decay of the moving average; its 100 steps are few enough to follow the last, small steps of the cycle. */
const EMA_DECAY = 0.99;
const CLIP = 1;

/**
 * Trains a classifier.
 *
 * @param onProgress called about once a second
 * @throws {ConfigError} for a setting out of range, or a batch larger than the training set
 * @throws {TrainingError} if the loss or the gradients stop being finite
 * @throws {DeviceError} if the device lacks memory or fails
 */
export async function trainClassifier(
  run: ClassifierRun,
  onProgress: (progress: ClassifierProgress) => void | Promise<void> = () => {},
): Promise<TrainedClassifier> {
  const { gpu, config, settings, train, signal, target } = run;
  checkSettings(settings, train);
  const { batch, epochs, seed, weightDecay, smoothing, shift } = settings;
  const indices = Uint32Array.from({ length: train.count }, (_, i) => i);
  const data = ResidentDataset.upload(gpu, train, indices);
  let step: ClassifierStep | undefined;
  try {
    const optimizer = {
      beta1: BETA1,
      beta2: BETA2,
      eps: 1e-8,
      weightDecay,
      clip: CLIP,
      stopAtNonFinite: true,
    };
    const options = { ...optimizer, config, batch, shift, flip: true, smoothing };
    step = await ClassifierStep.build(gpu, options, data, target);
    const initial = step.table.initialize(seed);
    gpu.device.queue.writeBuffer(step.weights.parameters.buffer, 0, initial);
    gpu.device.queue.writeBuffer(step.weights.ema.buffer, 0, initial);
    const stepsPerEpoch = Math.floor(train.count / batch);
    const totalSteps = epochs * stepsPerEpoch;
    const pace = new Pace();
    let [done, reported] = [0, 0];
    while (done < totalSteps && !signal?.aborted) {
      if (done % stepsPerEpoch === 0) {
        const epoch = done / stepsPerEpoch + 1;
        data.setOrder(permutation(train.count, seed, epoch) as Uint32Array<ArrayBuffer>);
      }
      step.update(stateOf(settings, done++, stepsPerEpoch, totalSteps));
      pace.submitted();
      if (pace.due || done - reported === LOG_SLOTS || done === totalSteps) {
        const records = await step.readLog();
        pace.waited();
        let [lossSum, count] = [0, 0];
        for (; reported < done; reported++) {
          const record = records[reported % LOG_SLOTS]!; // the log has LOG_SLOTS records
          if (record.nonFinite) {
            throw new TrainingError(
              `step ${
                reported + 1
              }: the loss or the gradients stopped being finite; use a smaller learning rate`,
            );
          }
          lossSum += record.lossSum;
          count += record.count;
        }
        await onProgress({ step: done, totalSteps, loss: lossSum / count });
      }
    }
    const accuracy = await measureAccuracy(run, step);
    const [bytes] = await readBack(gpu, [step.weights.ema]);
    const tensors = step.table.fromMemory(new Float32Array(bytes!)); // one per view
    return { tensors, accuracy, step: done, totalSteps };
  } finally {
    step?.destroy();
    data.destroy();
  }
}

async function measureAccuracy(
  { gpu, config, settings: { batch }, test, target }: ClassifierRun,
  { weights }: ClassifierStep,
): Promise<number> {
  const pass = await ClassifierPass.build(gpu, config, batch, weights.ema.buffer, target);
  try {
    const { probabilities } = await pass.run(test.images.range());
    return classConsistency(probabilities, config.classes.length, test.labels);
  } finally {
    pass.destroy();
  }
}

function stateOf(
  { batch, seed, learningRate }: ClassifierSettings,
  step: number,
  stepsPerEpoch: number,
  totalSteps: number,
): StepState {
  const [seedLo, seedHi] = splitSeed(seed);
  const t = step + 1;
  return {
    step,
    ...{ seedLo, seedHi, stream: STREAM.training },
    position: step % stepsPerEpoch * batch,
    count: batch,
    logSlot: step % LOG_SLOTS,
    accumulate: 0,
    learningRate: oneCycle(step, totalSteps, learningRate),
    biasCorrection1: 1 - BETA1 ** t,
    biasCorrection2: 1 - BETA2 ** t,
    emaDecay: Math.min(EMA_DECAY, (1 + t) / (10 + t)),
  };
}

function checkSettings(settings: ClassifierSettings, { count }: ImageDataset): void {
  const { epochs, batch, learningRate, weightDecay, smoothing, seed } = settings;
  checkWhole("epochs", epochs, 1, 10000);
  checkWhole("batch", batch, 1, count);
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER);
  if (!(learningRate > 0 && learningRate <= 1)) {
    throw new ConfigError("learningRate", learningRate, "a number in (0, 1]");
  }
  if (!(weightDecay >= 0 && weightDecay <= 1)) {
    throw new ConfigError("weightDecay", weightDecay, "a number in [0, 1]");
  }
  if (!(smoothing >= 0 && smoothing < 1)) throw new ConfigError("smoothing", smoothing, "a number in [0, 1)");
}
