/**
 * Rectified flow (Liu et al. 2023, arXiv 2209.03003; Lipman et al. 2023, arXiv 2210.02747): image and noise are joined by a
 * straight line, and the network learns its direction.
 *
 * ```text
 * x_t    = (1 - t) x_0 + t eps,  t in [0, 1]         Liu et al. 2023, equation 1, with time from image to noise
 * target = dx_t / dt = eps - x_0                     Liu et al. 2023, equation 1
 * ```
 *
 * @module
 */
import type { ForwardProcess, NoiseLevel, Target } from "./forward_process.ts";

/** Network's time input at `t = 1`, as in diffusers' `FlowMatchEulerDiscreteScheduler`. */
export const FLOW_TIMESTEPS = 1000;

/** The straight line from image to noise. */
export class RectifiedFlow implements ForwardProcess {
  /** At `t = 1 / 1000`. */
  readonly sigmaMin: number = 1 / (FLOW_TIMESTEPS - 1);
  /** At `t = 1` no signal is left. */
  readonly sigmaMax: number = Infinity;
  readonly clip: number | false;

  /** @param clip bound on estimates of `x_0` when sampling; default 1, the range of the data */
  constructor(clip: number | false = 1) {
    this.clip = clip;
  }

  level(timestep: number): NoiseLevel {
    const t = timestep / FLOW_TIMESTEPS;
    return { timestep, signal: 1 - t, noise: t };
  }

  levelOfSigma(sigma: number): NoiseLevel {
    const t = sigma === Infinity ? 1 : sigma / (1 + sigma); // from sigma = t / (1 - t)
    return { timestep: FLOW_TIMESTEPS * t, signal: 1 - t, noise: t };
  }

  target(): Target {
    return { fromX0: -1, fromNoise: 1 };
  }
}
