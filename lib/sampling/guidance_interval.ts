/**
 * Intervals of noise levels as text.
 *
 * @module
 */
import type { SigmaInterval } from "../diffusion/guidance.ts";

/** The allowed texts in words. */
export const INTERVAL_WORDS = "two ratios of noise to signal, the smaller first, such as 0.2,2 or 0.2,inf";

const NUMBER = String.raw`\d+(?:\.\d+)?(?:e[+-]?\d+)?`;
const INTERVAL = new RegExp(`^(${NUMBER}),(${NUMBER}|inf)$`);

/**
 * Parses an interval such as `0.2,2`; `inf` as its end has no bound.
 *
 * @returns undefined for another text, or an empty interval
 */
export function parseInterval(text: string): SigmaInterval | undefined {
  const [, above, upTo] = INTERVAL.exec(text) ?? [];
  if (above === undefined) return undefined;
  const interval = [Number(above), upTo === "inf" ? Infinity : Number(upTo)] as const;
  return interval[0] < interval[1] ? interval : undefined;
}

/** Text of an interval that {@linkcode parseInterval} reads. */
export function intervalText(interval: SigmaInterval): string {
  return interval.map((sigma) => sigma === Infinity ? "inf" : sigma).join();
}
