/**
 * `metrics.jsonl`: one JSON object a line, for plots and for people.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { writeDurable } from "./durable.ts";

/** Name of the file in a run directory. */
export const METRICS = "metrics.jsonl";

/** Appends to a run's metrics. */
export class MetricsFile {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Opens the metrics of a run. Lines of steps beyond `step` are dropped: a resumed run does those steps again.
   *
   * @throws {CheckpointError} when the file cannot be written
   */
  static async open(runDir: string, step: number): Promise<MetricsFile> {
    const path = join(runDir, METRICS);
    const present = await readText(path);
    const lines = (present ?? "").split("\n").filter((line) =>
      line !== "" && step > 0 && stepOf(line) <= step
    );
    const kept = lines.map((line) => `${line}\n`).join("");
    if (kept !== present) await writeDurable(path, new TextEncoder().encode(kept));
    return new MetricsFile(path);
  }

  /** Adds one line. */
  async append(entry: object): Promise<void> {
    try {
      await Deno.writeTextFile(this.#path, `${JSON.stringify(entry)}\n`, { append: true });
    } catch (error) {
      throw new CheckpointError(`cannot write ${this.#path}: ${(error as Error).message}`);
    }
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new CheckpointError(`cannot read ${path}: ${(error as Error).message}`);
  }
}

/** The step of a line; a line cut short by a crash counts as beyond every step. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as { step?: number }).step ?? Infinity;
  } catch {
    return Infinity;
  }
}
