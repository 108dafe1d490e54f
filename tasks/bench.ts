/**
 * `deno task bench`: how fast this adapter is, and how close to that the kernels, training and sampling come.
 *
 * @module
 */
import process from "node:process";
import { ConfigError } from "../lib/errors.ts";
import { writeDurable } from "../lib/train/durable.ts";
import { runBench } from "./bench/bench.ts";
import { formatReport } from "./bench/report.ts";
import { integer, showErrorAndExit, TaskCommand, text } from "./cli.ts";
import { createReporter } from "./progress.ts";

interface Flags {
  quick?: true;
  only?: string;
  profile?: true;
  batch?: number;
  steps: number;
  json?: string | true;
}

const NOTES = `
Rates: GFLOP/s are 1e9 float32 operations a second, 2 a multiply-add, of convolutions, products and attention only;
GB/s are 1e9 bytes a second, each tensor that goes in or comes out counted once. "of peak" and "of copy" compare with
the adapter's own multiply-add rate and copy bandwidth, measured alternately with each row. Times are medians in
milliseconds. "host ms/1000" is what the CPU takes, at best, to record and submit 1,000 dispatches. The model "floor"
is a U-Net of 32, 64, 64 channels with one block a level.`;

function readFlags(args: string[]): Flags {
  return new TaskCommand("bench", "Measures kernels, training and sampling against what the adapter can do.")
    .switch("--quick", "shorter measurements, one each, and no first steps: under a minute")
    .flag(
      "--only <PATTERN>",
      'only what has a name that matches, e.g. "conv 3x3" or "training (floor|tiny)"',
      {
        value: text(),
        defaultText: "everything",
      },
    )
    .switch("--profile", "add the time of each kernel in a training step")
    .flag("--batch <N>", "images in a batch of each model", {
      value: integer(1, 4096),
      unit: "images",
      defaultText: "what suits the adapter",
    })
    .flag("--steps <N>", "network evaluations an image in sampling", {
      value: integer(1, 1000),
      unit: "steps",
      default: 20,
    })
    .flag(
      "--json [FILE]",
      "write the figures as JSON into a file, or without one print them instead of tables",
      {
        value: text(),
      },
    )
    .addHelpText("after", NOTES)
    .read<Flags>(args);
}

function pattern(source: string | undefined): RegExp {
  try {
    return new RegExp(source ?? "", "i");
  } catch (error) {
    throw new ConfigError("--only", source, `a regular expression (${(error as Error).message})`);
  }
}

async function main(args: string[]): Promise<void> {
  const { json, only, quick = false, profile = false, batch, steps } = readFlags(args);
  // Progress goes to standard error, so that standard output holds the result alone.
  const stream = process.stderr;
  const reporter = createReporter({ mode: stream.isTTY ? "bar" : "lines", stream });
  const report = await runBench({ only: pattern(only), quick, profile, batch, steps }, reporter);
  const data = JSON.stringify(report, null, 2) + "\n";
  // Shown first: what was measured for minutes must not be lost with a file that cannot be written.
  process.stdout.write(json === true ? data : formatReport(report));
  if (typeof json === "string") await writeDurable(json, new TextEncoder().encode(data));
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
