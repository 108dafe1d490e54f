/**
 * Response formats and content negotiation.
 *
 * @module
 */
import type { PictureFormat } from "../pictures/encoder.ts";
import { ProblemError } from "./problem.ts";

/** Response formats. */
export const outputFormats = ["png", "jpeg", "webp", "gif", "json"] as const satisfies readonly (
  | PictureFormat
  | "json"
)[];

/** A response format. */
export type OutputFormat = typeof outputFormats[number];

/** MIME type of each format. */
export const mediaTypes: Readonly<Record<OutputFormat, string>> = {
  png: "image/png",
  jpeg: "image/jpeg",
  webp: "image/webp",
  gif: "image/gif",
  json: "application/json",
};

/**
 * Negotiates the format by an Accept header (RFC 9110, 12.5.1): the highest quality wins, ties go to the first in
 * {@linkcode outputFormats}.
 *
 * @throws {ProblemError} 406 if none is acceptable
 */
export function acceptedFormat(accept: string | undefined): OutputFormat {
  const ranges = (accept ?? "").split(",").map(readRange).filter((range) => range !== undefined);
  if (ranges.length === 0) return "png";
  let best: OutputFormat | undefined;
  let most = 0;
  for (const format of outputFormats) {
    const quality = qualityOf(mediaTypes[format], ranges);
    if (quality > most) [best, most] = [format, quality];
  }
  if (best) return best;
  const allowed = `one of ${Object.values(mediaTypes).join(", ")}`;
  throw new ProblemError(406, "not_acceptable", `Accept: expected ${allowed}`, {
    errors: [{ field: "Accept", value: accept, allowed }],
  });
}

interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

function readRange(text: string): MediaRange | undefined {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  if (!/^[^\s/]+\/[^\s/]+$/.test(type)) return undefined;
  const weight = parameters.find((part) => part.startsWith("q="))?.slice(2);
  if (weight === undefined) return { type, quality: 1 };
  return /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight) ? { type, quality: Number(weight) } : undefined;
}

/** Quality of a type: the most specific range takes precedence. */
function qualityOf(type: string, ranges: readonly MediaRange[]): number {
  const [family] = type.split("/");
  for (const name of [type, `${family}/*`, "*/*"]) {
    const range = ranges.find((range) => range.type === name);
    if (range) return range.quality;
  }
  return 0;
}
