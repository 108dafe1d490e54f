/**
 * Parameters of guidance: their names in requests, and the library's options that they set.
 *
 * @module
 */
import type { SigmaInterval } from "../../lib/diffusion/guidance.ts";
import type { GenerateOptions } from "../../lib/sampling/request.ts";

/** Allowed range of `guidance_rescale`. */
export const RESCALE_RANGE = [0, 1] as const;

/** Descriptions of the parameters, for `/openapi.json`. */
export const guidanceWords = {
  negative_class:
    "Class, by name or index, that guidance leads away from. Default `none`, no class; where a second " +
    "model guides (see /models), the image's own class.",
  guidance_rescale:
    "Part of the guided output whose contrast is scaled back to that without guidance, 0 to 1, against the " +
    "glaring colours of high scales (Lin et al. 2024, who use 0.7). Default 0.",
  guidance_interval:
    "Noise levels at which there is guidance, LOW,HIGH as ratios of noise to signal, HIGH `inf` for no bound " +
    "(Kynkäänniemi et al. 2024). Steps outside take one network evaluation. Default `0,inf`, all.",
} as const;

/** Parameters of guidance in a request, beside the scale. */
export interface GuidanceQuery {
  readonly negative_class?: string;
  readonly guidance_rescale?: number;
  readonly guidance_interval?: SigmaInterval;
}

/** Parameters by the options that they set. */
const parameterNames: Readonly<Record<string, keyof GuidanceQuery>> = {
  negativeClass: "negative_class",
  guidanceRescale: "guidance_rescale",
  guidanceInterval: "guidance_interval",
};

/** Name in a request of one of the library's options. */
export function parameterOf(option: string): string {
  return (Object.hasOwn(parameterNames, option) ? parameterNames[option] : undefined) ?? option;
}

/** The library's options for the parameters of a request. */
export function guidanceOptions(
  query: GuidanceQuery,
): Pick<GenerateOptions, "negativeClass" | "guidanceRescale" | "guidanceInterval"> {
  return {
    negativeClass: query.negative_class,
    guidanceRescale: query.guidance_rescale,
    guidanceInterval: query.guidance_interval,
  };
}
