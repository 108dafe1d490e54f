/**
 * Number and spacing of the frames shown while an image is drawn: previews of streams, frames of animations.
 *
 * @module
 */
import { shownSteps, type Spread } from "../../lib/sampling/moments.ts";
import type { FrameRequest } from "../engine/engine.ts";

/** Default previews of an image, plus the finished image. */
const DEFAULT_PREVIEWS: Spread = { count: 8 + 1, spacing: "ends" };
/** Frames of an animation, the finished image included. */
const ANIMATION_FRAMES: Spread = { count: 30, spacing: "even" };

/**
 * Steps after which a preview (the estimate of x_0) is taken.
 *
 * @param spread with the finished image as the last moment; default eight previews and that
 */
export function previewSteps(steps: number, spread: Spread = DEFAULT_PREVIEWS): FrameRequest {
  return { kind: "predicted", at: shownSteps(steps, spread).slice(0, -1) };
}

/** Steps after which an animation shows x_t; the finished image follows as one more frame. */
export function animationSteps(steps: number): FrameRequest {
  return { kind: "noisy", at: shownSteps(steps, ANIMATION_FRAMES).slice(0, -1) };
}
