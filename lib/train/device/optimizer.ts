/**
 * Update at the end of an optimizer step (Ho et al. 2020, algorithm 1, line 5): gradient norm and clipping, loss scale in
 * mixed precision, AdamW and EMA.
 *
 * @module
 */
import { adamw } from "../../../kernels/adamw.ts";
import { emaProfile } from "../../../kernels/ema_profile.ts";
import { gradNormFinish, gradNormPartials, gradNormScratchBytes } from "../../../kernels/grad_norm.ts";
import { HOPELESS_STEPS, updateLossScale } from "../../../kernels/loss_scale.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { BufferView, ResourceScope } from "../../gpu/memory.ts";
import { flatView, type FlatWindow } from "../../model/flat.ts";

/** Flat buffers of all parameters, each laid out by `ParameterTable`. */
export interface WeightBuffers {
  readonly parameters: BufferView;
  readonly firstMoment: BufferView;
  readonly secondMoment: BufferView;
  readonly ema: BufferView;
  /** Averages with power-function profiles, as many as there are rates. */
  readonly profiles: readonly BufferView[];
}

/**
 * Creates the buffers of the weights.
 *
 * @param elements of each
 * @param profiles averages with power-function profiles
 * @throws {DeviceError} if there is too little device memory
 */
export function createWeightBuffers(scope: ResourceScope, elements: number, profiles = 0): WeightBuffers {
  const flat = (name: string) => scope.buffer(4 * elements, name);
  return {
    parameters: flat("parameters"),
    firstMoment: flat("first moment"),
    secondMoment: flat("second moment"),
    ema: flat("EMA"),
    profiles: Array.from({ length: profiles }, (_, i) => flat(`EMA profile ${i + 1}`)),
  };
}

/** Buffers of the optimizer. */
export interface OptimizerBuffers {
  readonly stepState: BufferView;
  /** Summed over micro-batches. */
  readonly gradients: BufferView;
  readonly weights: WeightBuffers;
  /** Scratch of {@linkcode normScratchBytes} bytes. */
  readonly partials: BufferView;
  readonly health: BufferView;
  readonly log: BufferView;
  /** Only in mixed precision. */
  readonly lossScale: BufferView | undefined;
  /** Share of the weights in each of the profiles' next averages, float32; undefined without profiles. */
  readonly profileRates: BufferView | undefined;
}

/** Constants of the optimizer; the first four are AdamW's. */
export interface OptimizerOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Limit on the global gradient norm; 0 for no clipping. */
  readonly clip: number;
  /**
   * True if a non-finite step blocks all later updates, false if only that step is skipped. In mixed precision steps are skipped
   * either way, and true blocks updates after {@linkcode HOPELESS_STEPS} in a row at the smallest loss scale.
   */
  readonly stopAtNonFinite: boolean;
}

/** Scratch for the gradient norm, bytes. */
export function normScratchBytes(windows: readonly FlatWindow[]): number {
  return windows.reduce((bytes, { elements }) => bytes + gradNormScratchBytes(elements), 0);
}

/** Labels dispatches for profiles and messages. */
const line5 = (what: string, launches: Launch<BufferView>[]): Launch<BufferView>[] =>
  launches.map((launch) => ({ ...launch, label: `${what} (algorithm 1, line 5)` }));

/** Launches of one update with the current gradients. */
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
    // In mixed precision, non-finite gradients mean first that the loss scale is too large.
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
  const { profileRates: rates } = buffers;
  const averages = rates
    ? weights.profiles.flatMap((average, profile) =>
      windows.flatMap((window) =>
        emaProfile({ elements: window.elements, profile }, {
          health,
          rates,
          parameters: flatView(weights.parameters, window),
          average: flatView(average, window),
        })
      )
    )
    : [];
  return [
    ...line5("gradient norm", norm),
    ...line5("loss scale", scaling),
    ...line5("AdamW and EMA", update),
    ...line5("EMA profile", averages),
  ];
}
