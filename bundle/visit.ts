/**
 * `sh start.sh visit [STAGE…]`: measures and tests a machine that is available for some minutes, the most valuable first:
 * correctness of matrix units, speed of training and sampling in both precisions, PyTorch on the same networks, and more as
 * time allows. Leaves three files, to which later calls add.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { writeDurable } from "../lib/files/durable.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { number, text } from "../terminal/values.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { isFine, runStages, type Stage } from "./stages.ts";
import { addResults, readResults, VISIT_FILES } from "./visit_results.ts";
import { CALL_SECONDS, CALLS, matrixProbe, stagesFor, VISIT_ROOT, WITHOUT_MATRICES } from "./visit_stages.ts";
import { summarizeVisit } from "./visit_summary.ts";

interface Flags {
  readonly out: string;
  readonly minutes: number;
  readonly trial?: true;
}

/** Path of the bundle's data set, or `npm` or `none`, from the manifest beside the project. */
async function dataSet(): Promise<string> {
  const manifest = await Deno.readTextFile(join(VISIT_ROOT, "../manifest.txt")).catch(() => "");
  const where = /^data (.*)$/m.exec(manifest)?.[1] ?? "npm"; // not an unpacked bundle
  return where === "npm" || where === "none" ? where : resolve(VISIT_ROOT, "..", where);
}

async function main(args: string[]): Promise<number> {
  const command = new TaskCommand(
    "visit",
    "Measures and tests in stages, each with a log and a time limit; continues if one fails.",
  )
    .usage("[options] [STAGE...]")
    .argument(
      "[STAGE...]",
      `stages, in this order: ${CALLS.flat().join(", ")} (default: ${CALLS[0].join(", ")})`,
    )
    .flag("--out <DIR>", "folder for logs and results", { value: text(), default: "visit" })
    .flag("--minutes <N>", "time limit", {
      value: number(0, 1440, { above: true }),
      default: CALL_SECONDS / 60,
    })
    .switch("--trial", "tiny networks and emulated matrix units, to try the stages without a GPU");
  const flags = command.read<Flags>(args);
  const out = resolve(flags.out);
  const parts = join(out, "parts");
  const data = await dataSet();
  const names = command.args.length > 0 ? command.args : CALLS[0];
  const stagesOf = (matrices: boolean) => selectStages(stagesFor(parts, data, flags.trial, matrices), names);
  const withoutMatrices = stagesOf(false);
  const pathOf = (file: keyof typeof VISIT_FILES) => join(out, VISIT_FILES[file]);
  await checkWritable("--out", out, true);
  const earlier = await readResults(out);
  for (const file of ["results", "logs", "summary"] as const) await checkWritable("--out", pathOf(file));
  await Deno.mkdir(parts, { recursive: true });

  const begin = performance.now();
  const asks = withoutMatrices.some(({ missing }) => missing === WITHOUT_MATRICES);
  const stages = asks && await lacksMatrices(flags.trial) ? withoutMatrices : stagesOf(true);
  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => interruption.abort(new DenoiseError(name)));
  }
  const outcomes = await runStages(stages, {
    out: parts,
    cwd: VISIT_ROOT,
    seconds: 60 * flags.minutes - (performance.now() - begin) / 1000,
    signal: interruption.signal,
    onStage: ({ name }, outcome) => {
      console.error(
        `visit: ${name}${outcome ? `: ${outcome.result}, ${outcome.seconds.toFixed(0)} s` : " …"}`,
      );
    },
  });
  const results = await addResults(earlier, parts, outcomes);
  const summary = summarizeVisit(results, outcomes) + nextCalls(Object.keys(results.stages));
  const logs = outcomes.map(({ name, log }) => `=== ${name}\n${log}\n`).join("");
  // Printed first, so that minutes of measurements are not lost if a file cannot be written.
  console.log(summary);
  await writeDurable(pathOf("results"), new TextEncoder().encode(JSON.stringify(results, null, 1) + "\n"));
  await Deno.writeTextFile(pathOf("logs"), logs, { append: true });
  await Deno.writeTextFile(pathOf("summary"), summary);
  await Deno.remove(parts, { recursive: true });
  return outcomes.every(isFine) ? 0 : 1;
}

/** Stages by name. */
function selectStages(all: readonly Stage[], names: readonly string[]): Stage[] {
  return names.map((name) => {
    const stage = all.find((stage) => stage.name === name);
    if (!stage) throw new ConfigError("STAGE", name, `one of ${all.map(({ name }) => name).join(", ")}`);
    return stage;
  });
}

/** Seconds for opening an adapter on Dawn. */
const PROBE_SECONDS = 30;

/** True if mixed precision has an adapter without matrix units; false if there is none, which its stages report. */
async function lacksMatrices(trial?: boolean): Promise<boolean> {
  const [program, ...args] = matrixProbe(trial);
  const { stdout } = await new Deno.Command(program, {
    args,
    cwd: VISIT_ROOT,
    signal: AbortSignal.timeout(1000 * PROBE_SECONDS),
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout).split("\n").includes(WITHOUT_MATRICES);
}

/** Commands for the next visit: the stages that have not run. */
function nextCalls(done: readonly string[]): string {
  const calls = CALLS.map((names) => names.filter((name) => !done.includes(name))).filter(({ length }) =>
    length > 0
  );
  if (calls.length === 0) return "";
  return "Not run yet:\n" + calls.map((names) => `  sh start.sh visit ${names.join(" ")}\n`).join("");
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    showErrorAndExit(error);
  }
}
