/**
 * `sh start.sh visit [STAGE…]`: measures and tests a machine that is available for some minutes, the most valuable first:
 * correctness of matrix units, speed of training and sampling in both precisions, PyTorch on the same networks, and more as
 * time allows. Leaves three files, to which later calls add.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { writeDurable } from "../lib/files/durable.ts";
import { number, showErrorAndExit, TaskCommand, text } from "../terminal/cli.ts";
import { type CommandLine, runStages, type Stage } from "./stages.ts";
import type { ReportName } from "./visit_figures.ts";
import { addResults, readResults, VISIT_FILES } from "./visit_results.ts";
import { summarizeVisit } from "./visit_summary.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Sets of stages that fit into ten minutes on a fast GPU; the first runs unless stages are named. */
const CALLS: readonly [readonly string[], ...(readonly string[])[]] = [
  ["machine", "matrices", "mixed", "float32"],
  ["tuned", "pytorch"],
  ["profile", "kernels", "first-steps"],
  ["compiled", "train"],
  ["bench"],
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

/** Measured networks. */
const SPEEDS = "^(training (tiny|small|ddpm)|sampling (small|ddpm))$";
/** Compute-bound rows of the benchmark. */
const PRODUCTS = "conv|product|attention";

/** All stages; their commands run in the project's folder, and leave reports in `parts`. */
export function stagesFor(parts: string, data: string): readonly Stage[] {
  const task = (...args: string[]): CommandLine => ["deno", "task", ...args];
  const onDawn = ["env", "DENOISE_BACKEND=dawn"] as const;
  // All permissions: Dawn is native code, which the tasks' own permissions exclude.
  const bench = (
    backend: "deno" | "dawn",
    report: ReportName,
    only: string,
    ...args: string[]
  ): CommandLine => {
    const options = ["--only", only, "--json", join(parts, `${report}.json`), ...args];
    const run = ["deno", "run", "-A", "--no-check", "tasks/bench.ts", ...options] as const;
    return backend === "dawn" ? [...onDawn, ...run] : run;
  };
  const torch = (...args: string[]): CommandLine => {
    return ["python3", "-B", "bench/pytorch/step.py", "--seconds", "8", "--steps", "40", ...args];
  };
  const [ddpm, small] = [["--preset", "ddpm"], ["--preset", "small"]];
  const half = ["--precision", "bfloat16", "--channels-last"];
  const tf32 = ["--precision", "tf32"];
  const sampling = ["--what", "sampling"];
  const mixed = ["--precision", "mixed"];
  const tests = (...paths: string[]) => ["deno", "task", "test", "--no-check", ...paths] as const;
  return [
    {
      name: "machine",
      limit: 60,
      commands: [
        ["sh", "-c", LOOK],
        ["sh", "-c", ADAPTER],
        [...onDawn, "deno", "run", "-A", "--no-check", "bundle/adapter.ts"],
      ],
    },
    {
      name: "matrices",
      limit: 150,
      commands: [[...onDawn, ...tests("tests/kernels/products")], [...onDawn, ...tests("tests/gpu")]],
    },
    { name: "mixed", limit: 170, commands: [bench("dawn", "mixed-first", SPEEDS, ...mixed)] },
    { name: "float32", limit: 170, commands: [bench("deno", "float32-first", SPEEDS)] },
    {
      name: "tuned",
      limit: 300,
      commands: [
        bench("dawn", "mixed-tuned", SPEEDS, ...mixed, "--tune", "on"),
        bench("deno", "float32-tuned", SPEEDS, "--tune", "on"),
        bench("deno", "float32-rules", "^training (small|ddpm)$", "--tune", "off"),
      ],
    },
    {
      name: "pytorch",
      limit: 220,
      commands: [
        torch(...ddpm),
        torch(...ddpm, ...half),
        torch(...ddpm, ...tf32),
        torch(...small),
        torch(...small, ...half),
        torch(...small, ...tf32),
        torch(...ddpm, ...sampling),
        torch(...ddpm, ...sampling, ...half),
        torch(...small, ...sampling),
        torch(...small, ...sampling, ...half),
        torch(...ddpm, "--channels-last"),
        torch("--preset", "tiny"),
      ],
    },
    {
      name: "profile",
      limit: 180,
      commands: [
        bench("dawn", "profile-mixed", "^training (small|ddpm)$", ...mixed, "--profile"),
        bench("deno", "profile-float32", "^training (small|ddpm)$", "--profile"),
      ],
    },
    { name: "kernels", limit: 150, commands: [bench("deno", "kernels", PRODUCTS)] },
    { name: "first-steps", limit: 120, commands: [bench("deno", "first-steps", "^first step")] },
    {
      name: "compiled",
      limit: 340,
      // Compilation took more than 110 s on an H200; the first may not take the second's time.
      commands: [ddpm, small].map((preset) => [
        "timeout",
        "160",
        ...torch(...preset, ...half, "--compile"),
      ]),
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
    { name: "bench", limit: 500, commands: [task("bench", "--json", join(parts, "bench.json"))] },
    { name: "tests", limit: 580, commands: [tests()] },
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
  const parts = join(out, "parts");
  const all = stagesFor(parts, await dataSet());
  const names = command.args.length > 0 ? command.args : CALLS[0];
  const stages = names.map((name) => {
    const stage = all.find((stage) => stage.name === name);
    if (!stage) throw new ConfigError("STAGE", name, `one of ${all.map(({ name }) => name).join(", ")}`);
    return stage;
  });
  const earlier = await readResults(out);
  await Deno.mkdir(parts, { recursive: true });

  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => interruption.abort(new DenoiseError(name)));
  }
  const outcomes = await runStages(stages, {
    out: parts,
    cwd: ROOT,
    seconds: 60 * flags.minutes,
    signal: interruption.signal,
    onStage: ({ name }, outcome) => {
      console.error(
        `visit: ${name}${outcome ? `: ${outcome.result}, ${outcome.seconds.toFixed(0)} s` : " …"}`,
      );
    },
  });
  const results = await addResults(earlier, parts, outcomes);
  const pathOf = (file: keyof typeof VISIT_FILES) => join(out, VISIT_FILES[file]);
  const summary = summarizeVisit(results, outcomes) + nextCalls(Object.keys(results.stages));
  const logs = outcomes.map(({ name, log }) => `=== ${name}\n${log}\n`).join("");
  await writeDurable(pathOf("results"), new TextEncoder().encode(JSON.stringify(results, null, 1) + "\n"));
  await Deno.writeTextFile(pathOf("logs"), logs, { append: true });
  await Deno.writeTextFile(pathOf("summary"), summary);
  await Deno.remove(parts, { recursive: true });
  console.log(summary);
  return outcomes.every(({ result }) => result === "ok") ? 0 : 1;
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
