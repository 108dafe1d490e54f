/**
 * Stages of a visit, and the calls that they are divided into.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Precision } from "../lib/model/precision.ts";
import type { CommandLine, Stage } from "./stages.ts";
import type { ReportName } from "./visit_figures.ts";

/** Root of the project. */
export const VISIT_ROOT: string = fileURLToPath(new URL("../", import.meta.url));

/** Time limit of a call in seconds: what runs a command on a borrowed machine often ends it after ten minutes. */
export const CALL_SECONDS = 540;

/** Sets of stages whose time limits fit into one call; the first runs unless stages are named. */
export const CALLS: readonly [readonly string[], ...(readonly string[])[]] = [
  ["machine", "matrices", "mixed", "float32"],
  ["tuned-float32", "pytorch"],
  ["tuned-mixed", "pytorch-sampling", "rules"],
  ["second-minute", "second-minute-mixed", "profile", "float16"],
  ["first-steps", "first-steps-mixed"],
  ["kernels", "compiled"],
  ["train"],
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

/** Runs a command that has to refuse its arguments. */
const REFUSED = '"$@"; code=$?; echo "exit code $code"; test $code = 2';

/** Compute-bound rows of the benchmark. */
const PRODUCTS = "conv|product|attention";

/** Measured networks, the ones that the targets are stated for first: a stage that is stopped has measured those. */
type Network = readonly [what: "training" | "sampling", preset: string];

/** Size of a visit's measurements. */
interface Scale {
  readonly networks: readonly Network[];
  /** Networks of profiles and first steps. */
  readonly trained: readonly [string, ...string[]];
  readonly batch: number;
  /** Options of `deno task bench`, and of one without a name. */
  readonly bench: readonly string[];
  readonly whole: readonly string[];
  readonly torch: readonly string[];
  /** Seconds that `torch.compile` may take. */
  readonly compiling: number;
  /** Seconds before, and of, the measurement of the second minute. */
  readonly minute: number;
  /** Environment of matrix units. */
  readonly matrices: readonly string[];
  /** Options and files of the tests of matrix units, of the device, and of everything. */
  readonly tests: readonly [matrices: readonly string[], device: readonly string[], all: readonly string[]];
  readonly train: readonly string[];
}

/** A GPU. */
const FULL: Scale = {
  networks: [
    ["training", "ddpm"],
    ["training", "small"],
    ["sampling", "ddpm"],
    ["training", "tiny"],
    ["sampling", "small"],
  ],
  trained: ["ddpm", "small"],
  batch: 128,
  bench: [],
  whole: [],
  torch: ["--seconds", "8", "--steps", "40"],
  compiling: 160,
  minute: 60,
  matrices: [],
  tests: [["tests/kernels/products"], ["tests/gpu"], []],
  train: ["--preset", "small", "--steps", "400"],
};

/** A machine without a GPU, to try the stages themselves: the smallest networks, and matrix units that are emulated. */
const TRIAL: Scale = {
  networks: [["training", "floor"], ["sampling", "tiny"]],
  trained: ["tiny"],
  batch: 2,
  bench: ["--quick", "--batch", "2"],
  whole: ["--quick", "--batch", "2", "--only", "^(add|training floor)"],
  torch: ["--batch", "2", "--seconds", "2", "--steps", "2", "--warmup", "1"],
  compiling: 40,
  minute: 15,
  matrices: ["DENOISE_MATRICES=emulate"],
  tests: [["tests/kernels/products/items_test.ts"], ["tests/gpu/budget_test.ts"], [
    "tests/bundle/start_test.ts",
  ]],
  train: ["--preset", "tiny", "--steps", "2", "--batch", "2", "--limit", "90", "--sample-every", "0"],
};

/** Command line in the environment of a precision: Dawn's for mixed, since Deno's WebGPU has no matrix units. */
function inEnvironment({ matrices }: Scale, precision: Precision, line: CommandLine): CommandLine {
  return precision === "mixed" ? ["env", "DENOISE_BACKEND=dawn", ...matrices, ...line] : line;
}

/** Command that prints the adapter of mixed precision, and {@linkcode WITHOUT_MATRICES} if it has no matrix units. */
export function matrixProbe(trial = false): CommandLine {
  const script: CommandLine = ["deno", "run", "-A", "--no-check", join(VISIT_ROOT, "bundle/adapter.ts")];
  return inEnvironment(trial ? TRIAL : FULL, "mixed", script);
}

/** Reason to skip stages in mixed precision. */
export const WITHOUT_MATRICES = "no matrix units";

/** All stages; their commands run in the project's folder, and leave reports in `parts`. */
export function stagesFor(parts: string, data: string, trial = false, matrices = true): readonly Stage[] {
  const scale = trial ? TRIAL : FULL;
  const ifMatrices = matrices ? {} : { missing: WITHOUT_MATRICES };
  const task = (...args: string[]): CommandLine => ["deno", "task", ...args];
  const on = (precision: Precision, line: CommandLine): CommandLine => inEnvironment(scale, precision, line);
  // All permissions: Dawn is native code, which the tasks' own permissions exclude.
  const script = (
    path: string,
    ...args: readonly string[]
  ): CommandLine => ["deno", "run", "-A", "--no-check", join(VISIT_ROOT, path), ...args];
  const benchmark = (precision: Precision, report: ReportName, ...args: string[]): CommandLine => {
    const options = [...args, "--precision", precision, "--json", join(parts, `${report}.json`)];
    return on(precision, script("tasks/bench.ts", ...scale.bench, ...options));
  };
  // A report for each network, so that those that are done outlive a stage that is stopped.
  const networks = (precision: Precision, how: "first" | "tuned" | "rules", ...args: string[]) =>
    scale.networks.map(([what, preset]) =>
      benchmark(precision, `${precision}-${how}-${what}-${preset}`, "--only", `^${what} ${preset}$`, ...args)
    );
  // The tuning cache is in the working directory: an empty one for each network.
  const untuned = (precision: Precision) =>
    networks(precision, "first").map((line, i): CommandLine => {
      const folder = join(parts, `${precision}-first-${i}`);
      return ["sh", "-c", 'mkdir -p "$0" && cd "$0" && exec "$@"', folder, ...line];
    });
  const torch = (seconds: number, preset: string, ...args: string[]): CommandLine => {
    const options = ["--preset", trial ? "tiny" : preset, ...scale.torch, ...args];
    const step = ["python3", "-B", "bench/pytorch/step.py", ...options];
    return ["timeout", "-k", "5", String(seconds), ...step];
  };
  const formats: readonly string[][] = [
    [],
    ["--precision", "tf32"],
    ["--precision", "bfloat16", "--channels-last"],
    ["--channels-last"],
  ];
  const torches = (what: "training" | "sampling") =>
    ["ddpm", "small"].flatMap((preset) =>
      formats.map((format) => torch(60, preset, "--what", what, ...format))
    );
  const trained = `^training (${scale.trained.join("|")})$`;
  const secondMinute = (precision: Precision): CommandLine => {
    const report: ReportName = `${precision}-second-minute`;
    const [preset] = scale.trained;
    const where = [join(parts, `${report}.json`), String(scale.minute)];
    return on(
      precision,
      script("bench/second_minute.ts", preset, String(scale.batch), precision, ...where),
    );
  };
  const firstSteps = (precision: Precision) =>
    // --quick leaves first steps out.
    on(
      precision,
      script(
        "tasks/bench.ts",
        ...(trial ? ["--batch", String(scale.batch)] : []),
        ...["--only", "^first step", "--precision", precision],
        ...["--json", join(parts, `first-steps-${precision}.json`)],
      ),
    );
  const tests = (paths: readonly string[]) => task("test", "--no-check", ...paths);
  const [ofMatrices, ofDevice, all] = scale.tests;
  return [
    {
      name: "machine",
      limit: 40,
      commands: [
        ["sh", "-c", LOOK],
        ["sh", "-c", ADAPTER],
        matrixProbe(trial),
      ],
    },
    {
      name: "matrices",
      limit: 120,
      commands: [on("mixed", tests(ofMatrices)), on("mixed", tests(ofDevice))],
    },
    { name: "mixed", limit: 190, ...ifMatrices, commands: untuned("mixed") },
    { name: "float32", limit: 190, commands: untuned("float32") },
    { name: "tuned-float32", limit: 300, commands: networks("float32", "tuned", "--tune", "on") },
    { name: "pytorch", limit: 220, commands: [...torches("training"), torch(60, "tiny")] },
    { name: "tuned-mixed", limit: 300, ...ifMatrices, commands: networks("mixed", "tuned", "--tune", "on") },
    { name: "pytorch-sampling", limit: 140, commands: torches("sampling") },
    {
      name: "rules",
      limit: 100,
      commands: networks("float32", "rules", "--tune", "off").slice(0, 2),
    },
    { name: "second-minute", limit: 150, commands: [secondMinute("float32")] },
    { name: "second-minute-mixed", limit: 150, ...ifMatrices, commands: [secondMinute("mixed")] },
    {
      name: "profile",
      limit: 180,
      commands: [
        ...(matrices ? [benchmark("mixed", "profile-mixed", "--only", trained, "--profile")] : []),
        benchmark("float32", "profile-float32", "--only", trained, "--profile"),
      ],
    },
    {
      name: "float16",
      limit: 20,
      commands: [["sh", "-c", REFUSED, "sh", ...script("tasks/bench.ts", "--precision", "float16")]],
    },
    { name: "first-steps", limit: 270, commands: [firstSteps("float32")] },
    { name: "first-steps-mixed", limit: 270, ...ifMatrices, commands: [firstSteps("mixed")] },
    {
      name: "kernels",
      limit: 150,
      commands: [benchmark("float32", "kernels", "--only", trial ? "^product" : PRODUCTS)],
    },
    {
      name: "compiled",
      limit: 340,
      // Compilation took more than 110 s on an H200; the first may not take the second's time.
      commands: ["ddpm", "small"].map((preset) =>
        torch(scale.compiling, preset, "--precision", "bfloat16", "--channels-last", "--compile")
      ),
    },
    {
      name: "train",
      limit: 180,
      ...(data === "none" ? { missing: "this bundle carries no data set" } : {}),
      commands: [
        task(
          ...["train", "--json", ...scale.train, "--out", join(parts, "run")],
          ...(data === "npm" ? [] : ["--data", data]),
        ),
      ],
    },
    {
      name: "bench",
      limit: 500,
      commands: [script("tasks/bench.ts", ...scale.whole, "--json", join(parts, "bench.json"))],
    },
    { name: "tests", limit: 530, commands: [tests(all)] },
  ];
}
