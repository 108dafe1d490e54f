/**
 * Sections of the report about likelihood and denoising loss.
 *
 * @module
 */
import { lossChart } from "../image/chart.ts";
import type { Likelihood } from "./likelihood_result.ts";
import type { ReportPicture, ReportSection } from "./page.ts";

const TIMESTEP = "timestep (the network's time input)";

/**
 * Describes a likelihood: bits per dimension, the bound's terms by timestep, denoising loss by timestep, with charts.
 *
 * @param likelihood the result
 * @param onWarning called for a chart that cannot be drawn
 */
export async function likelihoodSections(
  likelihood: Likelihood,
  onWarning: (message: string) => void,
): Promise<ReportSection[]> {
  const { images, terms, losses, prior, decoder } = likelihood;
  const sum = terms.reduce((total, { bits }) => total + bits, 0);
  return [
    {
      heading: "Likelihood",
      text: `${describeBits(likelihood)}: the variational bound on the negative log-likelihood of ` +
        `${images} images, in bits per dimension (per byte). Lower is better. Where the model needs many bits at little ` +
        "noise, it is weak in detail; at much noise, in composition.",
      table: {
        columns: ["part", "bits per dimension"],
        rows: [
          ["decoder (the last step, to bytes)", decoder],
          ["steps in between", sum],
          ["prior (what is left of the image in the noise)", prior],
        ],
      },
      pictures: await picturesOf(() => drawTerms(likelihood), onWarning),
    },
    {
      heading: "Terms of the bound",
      table: {
        columns: ["timesteps", "bits per dimension", "per timestep"],
        rows: terms.map(({ timesteps, bits, count }) => [range(timesteps), bits, bits / count]),
      },
    },
    {
      heading: "Denoising loss",
      text:
        "Mean squared errors over pixels in [-1, 1], by timestep: of the network's output against its target, of the " +
        "estimate of the noise, and of the estimate of the image, clipped as in sampling.",
      table: {
        columns: ["timesteps", "target", "noise", "image"],
        rows: losses.map(({ timesteps, target, noise, x0 }) => [range(timesteps), target, noise, x0]),
      },
      pictures: await picturesOf(() => drawLosses(likelihood), onWarning),
    },
  ];
}

/** Bits per dimension with their standard error, such as `3.75 ± 0.02`. */
export function describeBits(
  { bitsPerDimension, standardError }: Pick<Likelihood, "bitsPerDimension" | "standardError">,
): string {
  if (standardError === null) return bitsPerDimension.toFixed(2);
  // Two digits of the standard error
  const digits = Math.min(6, Math.max(2, 1 - Math.floor(Math.log10(standardError))));
  return `${bitsPerDimension.toFixed(digits)} ± ${standardError.toFixed(digits)}`;
}

/** Chart of the bound's terms, per timestep. */
export async function drawTerms({ terms }: Likelihood): Promise<ReportPicture> {
  const points = terms.map(({ timesteps, bits, count }) => ({ x: middle(timesteps), y: bits / count }));
  const png = await lossChart([{ name: "bits of one timestep", points: positive(points) }], {
    title: "Terms of the variational bound",
    xLabel: TIMESTEP,
    yLabel: "bits per dimension, log scale",
    logY: true,
  });
  return { png, description: "Bits per dimension of each timestep's term of the variational bound" };
}

/** Chart of the denoising loss by timestep. */
export async function drawLosses({ losses }: Likelihood): Promise<ReportPicture> {
  const pointsOf = (key: "target" | "noise" | "x0") =>
    positive(losses.map(({ timesteps, [key]: y }) => ({ x: middle(timesteps), y })));
  const isNoise = losses.every(({ target, noise }) => target === noise);
  const series = [
    ...isNoise ? [] : [{ name: "network's target", points: pointsOf("target") }],
    { name: isNoise ? "noise, the network's target" : "noise", points: pointsOf("noise") },
    { name: "image", points: pointsOf("x0") },
  ];
  const png = await lossChart(series, {
    title: "Denoising loss",
    xLabel: TIMESTEP,
    yLabel: "mean squared error, log scale",
    logY: true,
  });
  return { png, description: "Mean squared errors of the network's target, noise and image, by timestep" };
}

/** A chart needs packages, which may be out of reach offline: then the tables stand alone. */
async function picturesOf(
  draw: () => Promise<ReportPicture>,
  onWarning: (message: string) => void,
): Promise<ReportPicture[]> {
  try {
    return [await draw()];
  } catch (error) {
    onWarning(`a chart of the report could not be drawn: ${(error as Error).message}`);
    return [];
  }
}

/** Points of a logarithmic axis. */
function positive<P extends { readonly y: number }>(points: readonly P[]): P[] {
  return points.filter(({ y }) => y > 0 && Number.isFinite(y));
}

function middle([first, last]: readonly [number, number]): number {
  return (first + last) / 2;
}

function range([first, last]: readonly [number, number]): string {
  return first === last ? String(round(first)) : `${round(first)} to ${round(last)}`;
}

/** At most four significant digits. */
function round(value: number): number {
  return Number(value.toPrecision(4));
}
