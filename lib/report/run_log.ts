/**
 * A run's log, read from the lines of its `metrics.jsonl`.
 *
 * @module
 */
import type { EpochEvent, EvaluationEvent, SamplesEvent, StepEvent } from "../train/events.ts";
import type { RunStart } from "../train/run_start.ts";

/** End of a run, finished or interrupted. */
export interface RunEnd {
  readonly step: number;
  readonly interrupted: boolean;
  readonly stoppedEarly: boolean;
  /** Message of the error that ended it. */
  readonly error?: string;
  /** Seconds of training and validation. */
  readonly seconds: number;
}

/** Lines of a log by type, each in their order. */
export interface RunLog {
  /** One line for the run's start and each resume; none in logs of versions that did not write them. */
  readonly starts: readonly RunStart[];
  readonly steps: readonly StepEvent[];
  readonly epochs: readonly EpochEvent[];
  readonly samples: readonly Pick<SamplesEvent, "epoch" | "step">[];
  readonly evaluations: readonly EvaluationEvent[];
  /** Undefined while the run goes on, or if its process was killed. */
  readonly end: RunEnd | undefined;
}

/** Numbers that a line of each type must have; lines without them are ignored, like those cut short by a crash. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  start: ["step"],
  step: ["step"],
  epoch: ["epoch", "step", "trainLoss", "seconds"],
  samples: ["epoch", "step"],
  evaluation: ["epoch", "step", "bitsPerDimension"],
  end: ["step", "seconds"],
};

interface Line extends Readonly<Record<string, unknown>> {
  readonly type: string;
}

/** Reads the text of a `metrics.jsonl`. */
export function parseLog(text: string): RunLog {
  const lines = text.split("\n").map(parseLine).filter((line) => line !== undefined);
  const of = <T>(type: string) => lines.filter((line) => line.type === type) as unknown as T[];
  return {
    starts: of<RunStart>("start").filter(isComplete),
    steps: of("step"),
    epochs: of("epoch"),
    samples: of("samples"),
    evaluations: of("evaluation"),
    end: of<RunEnd>("end").at(-1),
  };
}

/** True for a start line with all that is read of it. */
function isComplete({ settings, machine, dataset, classes }: Partial<RunStart>): boolean {
  return typeof settings?.model === "object" && typeof machine?.adapter?.name === "string" &&
    typeof dataset?.digest === "string" && Array.isArray(classes);
}

function parseLine(text: string): Line | undefined {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof line !== "object" || line === null || !("type" in line)) return undefined;
  const required = Object.hasOwn(REQUIRED, String(line.type)) ? REQUIRED[String(line.type)]! : undefined;
  const values = line as Record<string, unknown>;
  return required?.every((name) => typeof values[name] === "number") ? line as Line : undefined;
}
