/**
 * `sh start.sh visit [STAGE…]`: measures and tests a machine that is available for some minutes, the most valuable first:
 * environment, speed of training and sampling, correctness of the kernels, PyTorch on the same networks, and more as time
 * allows.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { number, showErrorAndExit, TaskCommand, text } from "../terminal/cli.ts";
import { type CommandLine, type Outcome, runStages, type Stage } from "./stages.ts";
import { summarizeVisit } from "./visit_summary.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Sets of stages that fit into ten minutes on a fast GPU; the first runs unless stages are named. */
const CALLS: readonly [readonly string[], ...(readonly string[])[]] = [
  ["machine", "models", "kernels", "pytorch"],
  ["bench", "profile", "train"],
  ["tests"],
];

const LOOK = `uname -a; nproc; free -m; cat /proc/driver/nvidia/version; nvidia-smi
ldconfig -p | grep -i -e vulkan -e nvidia; cat ../drivers.txt ../env.sh
find / -xdev -path '*vulkan/icd.d/*' -name '*.json' 2>/dev/null; ls -l /usr/local/nvidia /usr/local/nvidia/lib64 2>&1 | head -60
python3 -c 'import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())'
true`;

/** Describes the adapter; without a GPU, includes the Vulkan loader's debug output. */
const ADAPTER =
  `deno run -A bundle/adapter.ts --details && ! deno run -A bundle/adapter.ts | grep -q '(software' ||
  VK_LOADER_DEBUG=all deno run -A bundle/adapter.ts 2>&1 | tail -n 200`;

/** All stages; their commands run in the project's folder. */
function stagesFor(out: string, data: string): readonly Stage[] {
  const task = (...args: string[]): CommandLine => ["deno", "task", ...args];
  const json = (name: string) => ["--json", join(out, `${name}.json`)];
  const torch = (...args: string[]): CommandLine => {
    return ["python3", "-B", "bench/pytorch/step.py", "--seconds", "10", "--steps", "40", ...args];
  };
  const ddpm = ["--preset", "ddpm"];
  const half = ["--precision", "bfloat16", "--channels-last"];
  return [
    { name: "machine", limit: 60, commands: [["sh", "-c", LOOK], ["sh", "-c", ADAPTER]] },
    {
      name: "models",
      limit: 180,
      commands: [
        task("bench", "--only", "^training ddpm$", ...json("ddpm")),
        task("bench", "--only", "^((training|sampling) small|sampling ddpm)$", ...json("models")),
        task("bench", "--backend", "dawn", "--only", "^mixed training (small|ddpm)$", ...json("mixed")),
      ],
    },
    {
      name: "kernels",
      limit: 200,
      commands: [task("test", "--no-check", "tests/gpu", "tests/kernels", "tests/graph", "tests/model")],
    },
    {
      name: "pytorch",
      limit: 240,
      commands: [
        torch(...ddpm),
        torch(...ddpm, ...half),
        torch(...ddpm, "--channels-last"),
        torch("--preset", "small"),
        torch("--preset", "small", ...half),
        torch(...ddpm, "--what", "sampling"),
        torch("--preset", "small", "--what", "sampling"),
        torch(...ddpm, "--precision", "tf32"),
        torch(...ddpm, ...half, "--compile"),
      ],
    },
    { name: "bench", limit: 360, commands: [task("bench", ...json("bench"))] },
    {
      name: "profile",
      limit: 120,
      commands: [
        task("bench", "--only", "^training (small|ddpm)$", "--profile", join(out, "profile.trace.json")),
      ],
    },
    {
      name: "train",
      limit: 180,
      ...(data === "none" ? { missing: "this bundle carries no data set" } : {}),
      commands: [
        task(
          ...["train", "--json", "--preset", "small", "--steps", "400", "--out", `runs/visit-${Date.now()}`],
          ...(data === "npm" ? [] : ["--data", data]),
        ),
      ],
    },
    { name: "tests", limit: 580, commands: [task("test", "--no-check")] },
  ];
}

interface Flags {
  readonly out: string;
  readonly minutes: number;
}

/** Path of the bundle's data set, or `npm` or `none`, from the manifest beside the project. */
async function dataSet(): Promise<string> {
  const manifest = await Deno.readTextFile(join(ROOT, "../manifest.txt")).catch(() => "");
  const where = /^data (.*)$/m.exec(manifest)?.[1] ?? "npm"; // not an unpacked bundle
  return where === "npm" || where === "none" ? where : resolve(ROOT, "..", where);
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
    .flag("--minutes <N>", "time limit", { value: number(0, 1440, { above: true }), default: 9 });
  const flags = command.read<Flags>(args);
  const out = resolve(flags.out);
  const all = stagesFor(out, await dataSet());
  const names = command.args.length > 0 ? command.args : CALLS[0];
  const stages = names.map((name) => {
    const stage = all.find((stage) => stage.name === name);
    if (!stage) throw new ConfigError("STAGE", name, `one of ${all.map(({ name }) => name).join(", ")}`);
    return stage;
  });
  await Deno.mkdir(out, { recursive: true });

  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => interruption.abort(new DenoiseError(name)));
  }
  const outcomes = await runStages(stages, {
    out,
    cwd: ROOT,
    seconds: 60 * flags.minutes,
    signal: interruption.signal,
    onStage: ({ name }, outcome) => {
      console.error(
        `visit: ${name}${outcome ? `: ${outcome.result}, ${outcome.seconds.toFixed(0)} s` : " …"}`,
      );
    },
  });
  const summary = await summarizeVisit(out, outcomes) + nextCalls(outcomes);
  await Deno.writeTextFile(join(out, "summary.txt"), summary);
  console.log(summary);
  return outcomes.every(({ result }) => result === "ok") ? 0 : 1;
}

/** Commands for the next visit: the stages that have not run. */
function nextCalls(outcomes: readonly Outcome[]): string {
  const done = outcomes.filter(({ result }) => !result.startsWith("not run")).map(({ name }) => name);
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
