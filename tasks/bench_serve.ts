/**
 * `deno task bench:serve`: load test of the sampling server over loopback.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Backend } from "../lib/gpu/backend.ts";
import { writeDurable } from "../lib/files/durable.ts";
import { defaultSettings } from "../server/settings.ts";
import { runServeBench, type ServeBenchOptions } from "../bench/serve_bench.ts";
import { formatServeReport } from "../bench/serve_report.ts";
import { BACKEND_HELP, BACKEND_OPTIONS, continueOnBackend, dawnInUse } from "../terminal/backend.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { integer, list, number, path, type Value } from "../terminal/values.ts";
import { standardOutput } from "../terminal/output.ts";
import { createReporter } from "../terminal/progress.ts";
import { modelDirectory } from "./runs.ts";

interface Flags {
  model?: string;
  clients?: number[];
  seconds?: number;
  steps: number;
  maxBatch: number;
  requests?: number;
  quick?: true;
  backend?: Backend;
  json?: string | true;
}

const FULL = { clients: [1, 4, 16, 64], seconds: 20, requests: 2000 };
const QUICK = { clients: [1, 16], seconds: 4, requests: 100 };

/** Model of README's table: fixed, so that figures stay comparable whatever has been trained here. */
const MODEL = fileURLToPath(new URL("../checkpoints/cifar10-tiny", import.meta.url));

const NOTES = `\
Starts two servers on this machine and measures them alternately: one with continuous batching, the other with a batch of \
one image. Each client requests one image at a time; images/s counts all responses until the last. Memory is the \
resident set of the batching server.`;

/** Options of a load test, and where its JSON goes: a file, or `true` for standard output in place of the tables. */
export interface ServeBenchFlags extends Omit<ServeBenchOptions, "dawn"> {
  readonly backend?: Backend;
  readonly json?: string | true;
}

/** Reads the command line. */
export function readServeBenchFlags(args: readonly string[]): ServeBenchFlags {
  const { quick = false, model = MODEL, ...flags } = benchServeCommand().read<Flags>(args);
  return { ...quick ? QUICK : FULL, ...flags, quick, model };
}

/** The command line of `deno task bench:serve`. */
export function benchServeCommand(): TaskCommand {
  const both = (field: keyof typeof FULL) => `${FULL[field]}; with --quick ${QUICK[field]}`;
  return new TaskCommand("bench:serve", "Measures the sampling server under load, over loopback.")
    .flag("--model <DIR>", "a run directory, or a diffusers directory", {
      value: path(),
      defaultText: "checkpoints/cifar10-tiny",
    })
    .flag("--clients <LIST>", "numbers of concurrent clients, a row each", {
      value: counts(),
      defaultText: both("clients"),
    })
    .flag("--seconds <S>", "how long clients begin requests, per row and server", {
      value: number(0.1, 600),
      unit: "seconds",
      defaultText: both("seconds"),
    })
    .flag("--steps <N>", "sampling steps per image", {
      value: integer(1, 1000),
      unit: "steps",
      default: 20,
    })
    .flag("--max-batch <N>", "batch size of the batching server; an image with guidance takes two rows", {
      value: integer(2, 512),
      unit: "network rows",
      default: defaultSettings.maxBatch,
    })
    .flag("--requests <N>", "requests during which memory is sampled, 0 for none", {
      value: integer(0, 100_000),
      unit: "requests",
      defaultText: both("requests"),
    })
    .switch("--quick", "shorter measurements")
    .flag("--backend <NAME>", BACKEND_HELP, BACKEND_OPTIONS)
    .flag(
      "--json [FILE]",
      "write the figures as JSON into a file, or without one print them instead of tables",
      {
        value: path(),
      },
    )
    .settingsFile({ name: "bench-serve" })
    .notes(NOTES);
}

/** A list such as `1,4,16`. */
function counts(): Value<number[]> {
  return list(integer(1, 1000), "whole numbers from 1 to 1000, separated by commas");
}

async function main(args: string[]): Promise<void> {
  const { json, backend, ...options } = readServeBenchFlags(args);
  const ended = await continueOnBackend("bench:serve", args, backend, true);
  if (ended !== undefined) Deno.exit(ended);
  // Progress goes to standard error; standard output is only the result.
  const stream = process.stderr;
  const reporter = createReporter({ mode: stream.isTTY ? "bar" : "lines", stream });
  const model = await modelDirectory(options.model);
  const report = await runServeBench({ ...options, model, dawn: await dawnInUse() }, reporter);
  const data = JSON.stringify(report, null, 2) + "\n";
  // Printed first, so that minutes of measurements are not lost if the file cannot be written.
  const output = standardOutput();
  output.write(json === true ? data : formatServeReport(report));
  if (typeof json === "string") await writeDurable(json, new TextEncoder().encode(data));
  else if (output.incomplete) Deno.exitCode = 1;
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
