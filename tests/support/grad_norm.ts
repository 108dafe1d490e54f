/** The gradient norm in one piece, and what it leaves for the optimizer. */
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

/** What the optimizer was told of the gradient as a whole. */
export interface Health extends Pick<RecordValues<typeof HealthLayout>, "gradientNorm" | "clipScale"> {
  /** The optimizer wrote nothing. */
  readonly nonFinite: boolean;
  /** `StepState.step` of the step that raised the flag; undefined while it is down. */
  readonly firstBadStep: number | undefined;
}

/** Reads the health buffer. */
export function decodeHealth(bytes: ArrayBuffer): Health {
  const { nonFinite, firstBadStep, ...rest } = decodeRecord(HealthLayout, bytes);
  return { ...rest, nonFinite: nonFinite === 1, firstBadStep: nonFinite === 1 ? firstBadStep : undefined };
}
