/** Both stages of the gradient norm in one call, and its result for the optimizer. */
import {
  type GradNormBuffers,
  gradNormFinish,
  type GradNormOptions,
  gradNormPartials,
  gradNormScratchBytes,
} from "../../kernels/grad_norm.ts";
import { HealthLayout } from "../../kernels/records/layouts.ts";
import { decodeRecord, type RecordValues } from "../../kernels/records/record.ts";
import type { Launch } from "../../kernels/source.ts";

/** Both stages over `elements` gradients that fit one binding. */
export function gradNorm<B>(
  { elements, ...options }: GradNormOptions & { readonly elements: number },
  { gradients, ...rest }: GradNormBuffers<B>,
): Launch<B>[] {
  return [
    ...gradNormPartials(elements, { gradients, partials: rest.partials }),
    ...gradNormFinish(options, gradNormScratchBytes(elements), rest),
  ];
}

/** Gradient norm, clip scale and non-finite flag. */
export interface Health extends Pick<RecordValues<typeof HealthLayout>, "gradientNorm" | "clipScale"> {
  /** The optimizer skipped the step. */
  readonly nonFinite: boolean;
  /** `StepState.step` of the step that set the flag; undefined if it is not set. */
  readonly firstBadStep: number | undefined;
}

/** Reads the health buffer. */
export function decodeHealth(bytes: ArrayBuffer): Health {
  const { nonFinite, firstBadStep, ...rest } = decodeRecord(HealthLayout, bytes);
  return { ...rest, nonFinite: nonFinite === 1, firstBadStep: nonFinite === 1 ? firstBadStep : undefined };
}
