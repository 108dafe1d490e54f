/**
 * `deno task bench`: peak rates of the adapter, and kernels, training and sampling as shares of them.
 *
 * @module
 */
import process from "node:process";
import { ConfigError } from "../lib/errors.ts";
import type { Backend } from "../lib/gpu/backend.ts";
import type { AdapterDescription } from "../lib/gpu/device.ts";
import { writeDurable } from "../lib/files/durable.ts";
import { type Precision, PRECISION_HELP } from "../lib/model/precision.ts";
import { TUNE_HELP, type TuneMode } from "../lib/tuning/tuning.ts";
import { runBench } from "../bench/bench.ts";
import { checkAdapter, compareReports, formatComparison, keepBest, lostPart } from "../bench/compare.ts";
import { type GrowthOptions, measureGrowth } from "../bench/growth.ts";
import { growthPage } from "../bench/growth_page.ts";
import { formatReport } from "../bench/report.ts";
import { readReport } from "../bench/report_file.ts";
import { BACKEND_HELP, BACKEND_OPTIONS, continueOnBackend } from "../terminal/backend.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { integer, number, path, text } from "../terminal/values.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { PROFILE_FLAG, writeTrace } from "./profile.ts";
import { standardOutput } from "../terminal/output.ts";
import { createReporter, type Reporter } from "../terminal/progress.ts";
import { PRECISION_OPTIONS } from "../terminal/precision.ts";
import { TUNE_OPTIONS } from "../terminal/tuning.ts";

interface Flags {
  quick?: true;
  only?: string;
  profile?: string | true;
  batch?: number;
  steps: number;
  json?: string | true;
  compare?: string;
  maxLoss: number;
  anyAdapter?: true;
  growth?: string | true;
  backend?: Backend;
  precision: Precision;
  tune?: TuneMode;
}

/** Repeated measurements of rows that lost speed, which other load on the machine may have caused. */
const MORE_TRIES = 2;

const NOTES = `\
Rates: GFLOP/s are 1e9 float32 operations per second, 2 per multiply-add, of convolutions, matrix products and attention \
only; GB/s are 1e9 bytes per second, every operand and result counted once. "of peak" and "of copy" are shares of the \
adapter's own multiply-add rate and copy bandwidth, measured alternately with each row. Times are medians in \
milliseconds. "host ms/1000" is the shortest CPU time to record and submit 1,000 dispatches. The model "floor" is a \
U-Net of 32, 64, 64 channels with one block per level.

--profile runs every dispatch of a step in its own pass, so the sum is longer than the step; its GB/s count every bound \
buffer range once. --compare uses the batch sizes of the earlier report. Rows are judged by their share of the adapter's \
peak rate, since the machine may have been busier in one of the two runs; rows that lost too much are measured up to \
${MORE_TRIES} times more, and the best result counts. Host time, mixed precision and first steps have no peak rate, so they are \
shown but not judged.

"mixed training small", "mixed sampling tiny" and others alternate between mixed precision and float32, on \
adapters with matrix units; --quick leaves them out unless --only names them.`;

/** The command line of `deno task bench`. */
export function benchCommand(): TaskCommand {
  return new TaskCommand(
    "bench",
    "Measures kernels, training and sampling as shares of the adapter's peak rates.",
  )
    .switch(
      "--quick",
      "shorter measurements, one each, no mixed precision and no table of process starts: under a minute",
    )
    .flag(
      "--only <PATTERN>",
      'only rows with a matching name, e.g. "conv 3x3" or "training (floor|tiny)"',
      {
        value: text(),
        defaultText: "everything",
      },
    )
    .flag("--profile [FILE]", PROFILE_FLAG, { value: path() })
    .flag("--batch <N>", "batch size of each network", {
      value: integer(1, 4096),
      unit: "images",
      defaultText: "as suits the adapter",
    })
    .flag("--steps <N>", "sampling steps per image", {
      value: integer(1, 1000),
      unit: "steps",
      default: 20,
    })
    .flag(
      "--json [FILE]",
      "write the figures as JSON into a file, or without one print them instead of tables",
      {
        value: path(),
      },
    )
    .flag("--compare <FILE>", "compare with an earlier --json report, and exit with 1 if rows lost speed", {
      value: path(),
    })
    .flag("--max-loss <PERCENT>", "largest loss of speed per row in --compare", {
      value: number(0, 100),
      unit: "percent",
      default: 25,
    })
    .switch("--any-adapter", "allow --compare with a report of another adapter")
    .flag(
      "--growth [FILE]",
      "instead measure how cost grows with batch, width, images and steps (4 minutes; --quick 1), as a page in Markdown",
      { value: path(), conflicts: ["json", "compare", "profile", "batch"] },
    )
    .flag("--backend <NAME>", BACKEND_HELP, BACKEND_OPTIONS)
    .flag("--precision <TYPE>", `of training, sampling and first steps: ${PRECISION_HELP}`, {
      ...PRECISION_OPTIONS,
      defaultText: undefined,
      default: "float32",
    })
    .flag("--tune <WHEN>", TUNE_HELP, TUNE_OPTIONS)
    .settingsFile({ name: "bench" })
    .notes(NOTES);
}

function pattern(source: string | undefined): RegExp {
  try {
    return new RegExp(source ?? "", "i");
  } catch (error) {
    throw new ConfigError("--only", source, `a regular expression (${(error as Error).message})`);
  }
}

async function main(args: string[]): Promise<void> {
  const flags = benchCommand().read<Flags>(args);
  const ended = await continueOnBackend("bench", args, flags.backend, true);
  if (ended !== undefined) Deno.exit(ended);
  const { json, compare, profile, quick = false, batch, steps, precision, tune } = flags;
  const only = pattern(flags.only);
  const earlier = compare === undefined ? undefined : await readReport(compare);
  if (typeof profile === "string") await checkWritable("--profile", profile);
  // Progress goes to standard error; standard output is only the result.
  const stream = process.stderr;
  const reporter = createReporter({ mode: stream.isTTY ? "bar" : "lines", stream });
  const accept = (adapter: AdapterDescription) => {
    if (!earlier || flags.anyAdapter) return;
    checkAdapter(compare!, earlier.environment.adapter.name, adapter.name);
  };
  if (flags.growth !== undefined) return await growth(flags.growth, { only, quick, tune }, reporter);
  const options = {
    only,
    quick,
    profile: profile !== undefined,
    batch,
    steps,
    precision,
    tune,
    earlier,
    accept,
  };
  const { report, traces } = await runBench(options, reporter);
  const maxLoss = flags.maxLoss / 100;
  const compareNow = () => earlier && compareReports(earlier, report, { maxLoss, only });
  let comparison = compareNow();
  for (let tries = 0; tries < MORE_TRIES && comparison?.rows.some(({ lost }) => lost); tries++) {
    const lost = lostPart(earlier!, comparison);
    const again = await runBench({ ...options, profile: false, earlier: lost, again: true }, reporter);
    keepBest(report, again.report);
    comparison = compareNow();
  }
  const data = JSON.stringify(report, null, 2) + "\n";
  // Printed first, so that minutes of measurements are not lost if the file cannot be written.
  const output = standardOutput();
  output.write(json === true ? data : formatReport(report));
  if (comparison) {
    const shown = formatComparison(compare!, comparison, maxLoss);
    (json === true ? process.stderr : output).write("\n" + shown);
    if (!comparison.passed) Deno.exitCode = 1;
  }
  if (typeof json === "string") await writeDurable(json, new TextEncoder().encode(data));
  if (typeof profile === "string") await writeTrace(profile, traces, report.environment.adapter.name);
  if (typeof json !== "string" && output.incomplete) Deno.exitCode = 1;
}

async function growth(file: string | true, options: GrowthOptions, reporter: Reporter): Promise<void> {
  if (file !== true) await checkWritable("--growth", file);
  const page = growthPage(await measureGrowth(options, reporter));
  const output = standardOutput();
  output.write(page);
  if (file !== true) await writeDurable(file, new TextEncoder().encode(page));
  else if (output.incomplete) Deno.exitCode = 1;
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error, { precision: "--precision" });
  }
}
