/**
 * `metrics.jsonl`: a run's log, one JSON object per line.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { appendAtomically } from "../files/append.ts";
import { fileProblem, writeDurable } from "../files/durable.ts";
import type { StartEvent } from "./events.ts";
import type { KeptLog } from "./run_keeping.ts";
import { describeStart, type RunStartParts } from "./run_start.ts";

/** Name of the file in a run directory. */
export const METRICS = "metrics.jsonl";

/** Types of lines that belong to a finished epoch. */
const OF_EPOCHS: readonly (string | undefined)[] = ["epoch", "samples", "evaluation"];

/** Point from which a run continues. */
export interface MetricsStart {
  /** Optimizer steps done. */
  readonly step: number;
  /** Last steps of the finished epochs. */
  readonly epochEnds: readonly number[];
  /** Called when a line cannot be written. */
  readonly onWarning: (message: string) => void;
}

/** Appends to a run's metrics. */
export class MetricsFile implements KeptLog {
  /** Step of the last sample grid in the file when it was opened. */
  readonly lastSamples: number | undefined;
  /** Step of the last evaluation, likewise. */
  readonly lastEvaluation: number | undefined;
  readonly #path: string;
  readonly #onWarning: (message: string) => void;
  /** Lines that could not be written yet; about 10 MB a day. */
  #pending = "";

  private constructor(path: string, onWarning: (message: string) => void, lines: readonly Line[]) {
    this.#path = path;
    this.#onWarning = onWarning;
    const lastOf = (wanted: string) => lines.findLast(({ type }) => type === wanted)?.step;
    this.lastSamples = lastOf("samples");
    this.lastEvaluation = lastOf("evaluation");
  }

  /**
   * Opens a run's metrics. Drops lines that the run will write again: steps after the checkpoint, unfinished epochs with
   * their samples and evaluations, and the run's end.
   *
   * @throws {CheckpointError} if the file cannot be read or written
   */
  static async open(runDir: string, { step, epochEnds, onWarning }: MetricsStart): Promise<MetricsFile> {
    const path = join(runDir, METRICS);
    const present = await readText(path);
    const keeps = ({ type, step: at }: Line) => {
      if (step === 0 || at === undefined || at > step || type === "end") return false;
      return !OF_EPOCHS.includes(type) || epochEnds.includes(at);
    };
    const lines = (present ?? "").split("\n").map(parse).filter((line) => line !== undefined).filter(keeps);
    const kept = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    if (kept !== present) await writeDurable(path, new TextEncoder().encode(kept));
    return new MetricsFile(path, onWarning, lines);
  }

  /** Appends the run's settings and data, and the machine that it runs on. */
  async appendStart(event: StartEvent, parts: RunStartParts): Promise<void> {
    await this.append(describeStart(event, parts));
  }

  /** Appends a line. If that fails, it warns, and writes the line with the next one. */
  async append(entry: object): Promise<void> {
    const failedBefore = this.#pending !== "";
    this.#pending += `${JSON.stringify(entry)}\n`;
    try {
      await appendAtomically(this.#path, new TextEncoder().encode(this.#pending));
      this.#pending = "";
    } catch (error) {
      if (!failedBefore) this.#onWarning(`cannot write ${this.#path}, will try again: ${fileProblem(error)}`);
    }
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new CheckpointError(`cannot read ${path}: ${fileProblem(error)}`);
  }
}

/** Fields of a line that are read back. */
interface Line {
  readonly type?: string;
  readonly step?: number;
}

/** Parses a line; undefined if a crash truncated it. */
function parse(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
