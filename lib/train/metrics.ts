/**
 * `metrics.jsonl`: one JSON object a line, for plots and for people.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { fileProblem, writeDurable } from "../files/durable.ts";

/** Name of the file in a run directory. */
export const METRICS = "metrics.jsonl";

/** Where a run goes on. */
export interface MetricsStart {
  /** Optimizer steps done. */
  readonly step: number;
  /** Steps at which its finished epochs ended. */
  readonly epochEnds: readonly number[];
  /** Told when a line cannot be written. */
  readonly onWarning: (message: string) => void;
}

/** Appends to a run's metrics. */
export class MetricsFile {
  /** Step of the last grid of samples that the file tells of as it was opened. */
  readonly lastSamples: number | undefined;
  readonly #path: string;
  readonly #onWarning: (message: string) => void;
  /** Lines that could not be written yet; some 10 MB a day. */
  #waiting = "";

  private constructor(path: string, onWarning: (message: string) => void, lastSamples: number | undefined) {
    this.#path = path;
    this.#onWarning = onWarning;
    this.lastSamples = lastSamples;
  }

  /**
   * Opens the metrics of a run. What the run will tell again is dropped: steps beyond those done, epochs that are not
   * finished and their samples, and its end.
   *
   * @throws {CheckpointError} when the file cannot be read or written
   */
  static async open(runDir: string, { step, epochEnds, onWarning }: MetricsStart): Promise<MetricsFile> {
    const path = join(runDir, METRICS);
    const present = await readText(path);
    const stays = ({ type, step: at }: Line) => {
      if (step === 0 || at === undefined || at > step || type === "end") return false;
      return (type !== "epoch" && type !== "samples") || epochEnds.includes(at);
    };
    const lines = (present ?? "").split("\n").map(parse).filter((line) => line !== undefined).filter(stays);
    const kept = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    if (kept !== present) await writeDurable(path, new TextEncoder().encode(kept));
    const lastSamples = lines.findLast(({ type }) => type === "samples")?.step;
    return new MetricsFile(path, onWarning, lastSamples);
  }

  /** Adds one line. Where that fails, there is a warning, and the line is written with the next. */
  async append(entry: object): Promise<void> {
    const failedBefore = this.#waiting !== "";
    this.#waiting += `${JSON.stringify(entry)}\n`;
    try {
      await appendWhole(this.#path, this.#waiting);
      this.#waiting = "";
    } catch (error) {
      if (!failedBefore) this.#onWarning(`cannot write ${this.#path}, will try again: ${fileProblem(error)}`);
    }
  }
}

/** Appends all of a text, or nothing. */
async function appendWhole(path: string, text: string): Promise<void> {
  using file = await Deno.open(path, { append: true, create: true });
  const bytes = new TextEncoder().encode(text);
  const { size } = await file.stat();
  try {
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  } catch (error) {
    await file.truncate(size);
    throw error;
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

/** What is looked at in a line. */
interface Line {
  readonly type?: string;
  readonly step?: number;
}

/** A line, or undefined if a crash cut it short. */
function parse(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
