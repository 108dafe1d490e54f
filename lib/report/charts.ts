/**
 * Curves of a report, as the page's script draws them.
 *
 * @module
 */
import type { EvaluationEvent, StepEvent } from "../train/events.ts";
import { type RunRecord, stepsPerEpoch } from "./run_record.ts";
import { type Aggregate, type Points, thinOut } from "./thin.ts";

/** Look of a curve: `faint` for noisy ones behind others, `marked` with a mark at each point. */
export type CurveLook = "line" | "faint" | "marked";

/** A curve. */
export interface Curve {
  /** Index of its run. */
  readonly run: number;
  readonly name: string;
  readonly look: CurveLook;
  /** Dash pattern by index, 0 for none: tells curves of one colour apart. */
  readonly dash: number;
  /** Colour by index. */
  readonly color: number;
  /** Optimizer steps, ascending. */
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** A chart of curves over optimizer steps. */
export interface Chart {
  readonly id: string;
  readonly title: string;
  /** What the vertical axis shows, with its unit. */
  readonly label: string;
  /** True if the vertical axis is logarithmic at first. */
  readonly log: boolean;
  /** True if the curves are noisy, so that the reader may want them smoothed. */
  readonly noisy: boolean;
  readonly curves: readonly Curve[];
}

/** Scales of a run's horizontal axis. */
export interface RunAxis {
  readonly name: string;
  /** Optimizer steps per epoch; null if unknown. */
  readonly stepsPerEpoch: number | null;
  /** Optimizer steps and seconds of training by then, at each epoch's end. */
  readonly times: readonly (readonly [step: number, seconds: number])[];
}

/** Points of a curve at most; a chart is about 1,000 pixels wide. */
const MAX_POINTS = 2000;
/** Ratio of largest to smallest value above which an axis is logarithmic at first. */
const LINEAR_RANGE = 5;
/** Significant digits of values, which shorten the file. */
const DIGITS = 6;
/** Colours in the page's style. */
export const COLORS = 6;

/** Scales of the horizontal axis. */
export function runAxis(run: RunRecord): RunAxis {
  let seconds = 0;
  return {
    name: run.name,
    stepsPerEpoch: stepsPerEpoch(run) ?? null,
    times: run.history.map((epoch) => [epoch.step, round(seconds += epoch.seconds)] as const),
  };
}

/** A chart before its curves are read. */
interface ChartPlan extends Omit<Chart, "curves" | "log"> {
  readonly curves: readonly CurvePlan[];
}

interface CurvePlan extends Pick<Curve, "name" | "look"> {
  readonly read: (run: RunRecord) => Points;
}

const TRAINING_BY_STEP: CurvePlan = {
  name: "training, by step",
  look: "faint",
  read: ofSteps((event) => event.loss),
};
const TRAINING: CurvePlan = {
  name: "training, mean of the epoch",
  look: "marked",
  read: ({ history }) => pointsOf(history, (epoch) => epoch.trainLoss),
};
const VALIDATION: CurvePlan = {
  name: "validation, averaged weights",
  look: "marked",
  read: ({ history }) => pointsOf(history, (epoch) => epoch.valLoss),
};

/** By step, or by epoch if the steps are not known. */
const TRAINING_AS_KNOWN: CurvePlan = {
  ...TRAINING_BY_STEP,
  read: (run) => (run.log.steps.length > 1 ? TRAINING_BY_STEP : TRAINING).read(run),
};

/** Losses of one run together, those of several apart. */
const LOSS: readonly ChartPlan[] = [
  { id: "loss", title: "Loss", label: "loss", noisy: true, curves: [TRAINING_BY_STEP, TRAINING, VALIDATION] },
];
const LOSSES: readonly ChartPlan[] = [
  {
    ...{ id: "validation-loss", title: "Validation loss, averaged weights", label: "loss", noisy: false },
    curves: [VALIDATION],
  },
  { id: "training-loss", title: "Training loss", label: "loss", noisy: true, curves: [TRAINING_AS_KNOWN] },
];

const OTHERS: readonly ChartPlan[] = [
  plan("bits", "Bits per dimension", "variational bound, bits", {
    ...{ name: "bits per dimension", look: "marked" },
    read: ofEvaluations((event) => event.bitsPerDimension),
  }),
  plan("frechet-distance", "Fréchet distance", "distance in a classifier's features", {
    ...{ name: "Fréchet distance", look: "marked" },
    read: ofEvaluations((event) => event.samples?.frechetDistance),
  }),
  plan("class-consistency", "Class consistency", "share of samples", {
    ...{ name: "class consistency", look: "marked" },
    read: ofEvaluations((event) => event.samples?.classConsistency),
  }),
  plan("learning-rate", "Learning rate", "learning rate", {
    ...{ name: "learning rate", look: "line" },
    read: ofSteps((event) => event.learningRate),
  }),
  plan("gradient-norm", "Gradient norm", "norm before clipping", {
    ...{ name: "gradient norm", look: "line" },
    // A spike is what one looks for.
    read: ofSteps((event) => event.gradientNorm, "max"),
  }, true),
  plan("speed", "Throughput", "images per second", {
    ...{ name: "images per second", look: "line" },
    read: ofSteps((event) => event.imagesPerSecond),
  }, true),
  plan("loss-scale", "Loss scale", "factor on the loss", {
    ...{ name: "loss scale", look: "line" },
    read: ofSteps((event) => event.lossScale),
  }),
];

/** All charts that any run has at least two points for. */
export function chartsOf(runs: readonly RunRecord[]): Chart[] {
  const plans = [...runs.length === 1 ? LOSS : LOSSES, ...OTHERS];
  return plans.map((plan) => chartOf(plan, runs)).filter(({ curves }) =>
    curves.some(({ x }) => x.length > 1)
  );
}

function chartOf({ curves: plans, ...chart }: ChartPlan, runs: readonly RunRecord[]): Chart {
  const curves = runs.flatMap((run, index) =>
    plans.map(({ name, look, read }, i): Curve => {
      const { x, y } = read(run);
      const color = runs.length === 1 ? Math.max(0, i - 1) : index; // the losses by step and by epoch have one colour
      return {
        ...{
          run: index,
          name: runs.length === 1 ? name : run.name,
          look: runs.length === 1 ? look : solid(look),
        },
        ...{ color: color % COLORS, dash: Math.floor(color / COLORS), x, y: y.map(round) },
      };
    })
  ).filter(({ x }) => x.length > 0);
  const values = curves.flatMap(({ y }) => y);
  const [least, most] = [values.reduce(min, Infinity), values.reduce(max, -Infinity)];
  return { ...chart, log: chart.label === "loss" && least > 0 && most > LINEAR_RANGE * least, curves };
}

function plan(id: string, title: string, label: string, curve: CurvePlan, noisy = false): ChartPlan {
  return { id, title, label, noisy, curves: [curve] };
}

/** Reader of a value of each step in the log. */
function ofSteps(
  read: (event: StepEvent) => number | undefined,
  combine: Aggregate = "mean",
): CurvePlan["read"] {
  return ({ log: { steps } }) => thinOut(pointsOf(steps, read), MAX_POINTS, combine);
}

/** Reader of a value of each evaluation. */
function ofEvaluations(read: (event: EvaluationEvent) => number | null | undefined): CurvePlan["read"] {
  return ({ log: { evaluations } }) => pointsOf(evaluations, read);
}

/** Points of those events that have a value. */
function pointsOf<T extends { readonly step: number }>(
  events: readonly T[],
  read: (event: T) => number | null | undefined,
): Points {
  const known = events.flatMap((event) => {
    const y = read(event);
    return typeof y === "number" && Number.isFinite(y) ? [{ x: event.step, y }] : [];
  });
  return { x: known.map(({ x }) => x), y: known.map(({ y }) => y) };
}

function solid(look: CurveLook): CurveLook {
  return look === "faint" ? "line" : look;
}

function round(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

// Spread arguments would overflow the stack with the points of many runs.
function min(a: number, b: number): number {
  return Math.min(a, b);
}

function max(a: number, b: number): number {
  return Math.max(a, b);
}
