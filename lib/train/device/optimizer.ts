/**
 * The update at the end of an optimizer step (Ho et al. 2020, algorithm 1, line 5): gradient norm, loss scale where there is
 * one, AdamW and the moving average.
 *
 * @module
 */
import { adamw } from "../../../kernels/adamw.ts";
import { gradNormFinish, gradNormPartials, gradNormScratchBytes } from "../../../kernels/grad_norm.ts";
import { HOPELESS_STEPS, updateLossScale } from "../../../kernels/loss_scale.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { BufferView } from "../../gpu/memory.ts";
import { flatView, type FlatWindow } from "../../model/flat.ts";

/** Flat buffers of all parameters, each laid out by `ParameterTable`. */
export interface WeightBuffers {
  readonly parameters: BufferView;
  readonly firstMoment: BufferView;
  readonly secondMoment: BufferView;
  readonly ema: BufferView;
}

/** What the optimizer works on. */
export interface OptimizerBuffers {
  readonly stepState: BufferView;
  /** Summed over micro-batches. */
  readonly gradients: BufferView;
  readonly weights: WeightBuffers;
  /** Of {@linkcode normScratchBytes}. */
  readonly partials: BufferView;
  readonly health: BufferView;
  readonly log: BufferView;
  /** Where activations are float16. */
  readonly lossScale: BufferView | undefined;
}

/** What is the same for every step; the first four are AdamW's. */
export interface OptimizerOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Largest global gradient norm; 0 for no clipping. */
  readonly clip: number;
  /**
   * Whether one bad step stops all later updates (true) or is skipped alone (false). In float16 steps are skipped either
   * way, and true stops after {@linkcode HOPELESS_STEPS} in a row at the smallest loss scale.
   */
  readonly stopAtNonFinite: boolean;
}

/** Bytes that the norm of windows of the gradients needs. */
export function normScratchBytes(windows: readonly FlatWindow[]): number {
  return windows.reduce((bytes, { elements }) => bytes + gradNormScratchBytes(elements), 0);
}

/** Labels dispatches for profiles and messages. */
const line5 = (what: string, launches: Launch<BufferView>[]): Launch<BufferView>[] =>
  launches.map((launch) => ({ ...launch, label: `${what} (algorithm 1, line 5)` }));

/** One step with the gradients as they are. */
export function optimizerLaunches(
  options: OptimizerOptions,
  windows: readonly FlatWindow[],
  buffers: OptimizerBuffers,
): Launch<BufferView>[] {
  const { beta1, beta2, eps, weightDecay, clip, stopAtNonFinite } = options;
  const { stepState: step_state, gradients, weights, partials, health, log: train_log, lossScale } = buffers;
  let offset = 0;
  const norm = [
    ...windows.flatMap((window) => {
      const size = gradNormScratchBytes(window.elements);
      const scratch = { ...partials, offset, size };
      offset += size;
      return gradNormPartials(window.elements, {
        gradients: flatView(gradients, window),
        partials: scratch,
      });
    }),
    // With a loss scale, gradients that are not finite are the scale's fault before they are the network's.
    ...gradNormFinish({ maxNorm: clip, sticky: stopAtNonFinite && !lossScale }, partials.size, {
      step_state,
      partials,
      health,
      train_log,
    }),
  ];
  const hopelessSteps = stopAtNonFinite ? HOPELESS_STEPS : 0;
  const scaling = lossScale
    ? updateLossScale({ maxNorm: clip, beta1, beta2, hopelessSteps }, {
      step_state,
      health,
      train_log,
      loss_scale: lossScale,
    })
    : [];
  const update = windows.flatMap((window) =>
    adamw({ elements: window.elements, beta1, beta2, eps, weightDecay }, {
      step_state,
      health,
      gradients: flatView(gradients, window),
      parameters: flatView(weights.parameters, window),
      first_moment: flatView(weights.firstMoment, window),
      second_moment: flatView(weights.secondMoment, window),
      ema: flatView(weights.ema, window),
    })
  );
  return [
    ...line5("gradient norm", norm),
    ...line5("loss scale", scaling),
    ...line5("AdamW and moving average", update),
  ];
}
