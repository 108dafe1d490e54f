/**
 * `deno task roofline`: predicted time of each kernel of a training step and of a network pass on a GPU, computed without one.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { KernelTarget } from "../kernels/target.ts";
import { ConfigError } from "../lib/errors.ts";
import { writeDurable } from "../lib/files/durable.ts";
import { type Precision, PRECISIONS } from "../lib/model/precision.ts";
import { readReport } from "../bench/compare.ts";
import { rooflineOf } from "../bench/roofline.ts";
import { rooflinePage } from "../bench/roofline_page.ts";
import { integer, oneOf, showErrorAndExit, TaskCommand, text } from "../terminal/cli.ts";
import { standardOutput } from "../terminal/output.ts";

interface Flags {
  out?: string;
  report?: string;
  batch: number;
  precision?: Precision;
}

/** Networks of the page, the one that the targets are stated for first. */
const MODELS = ["ddpm", "small"];

const WORKS = ["step", "pass"] as const;

/** Limits of an H200, and the profiles measured on it. */
const REPORT = fileURLToPath(new URL("../bench/results/nvidia-h200/profile-float32.json", import.meta.url));

/** An H200, with its limits; for mixed precision with its matrix units. */
const GPU: KernelTarget = { path: "tile", subgroupSize: 32, bindingBytes: 2 ** 31, workgroupBytes: 49_152 };
const TARGETS: Readonly<Record<Precision, KernelTarget>> = {
  float32: GPU,
  mixed: {
    ...GPU,
    matrices: {
      dialect: "subgroup_matrix",
      subgroupSize: 32,
      shapes: [{ rows: 16, columns: 16, depth: 16 }],
    },
  },
};

function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "roofline",
    `Predicts each kernel of a training step and of a network pass of sampling of ${
      MODELS.join(" and ")
    } on a GPU, from the limits of the GPU.`,
  )
    .flag("--out <FILE.md>", "write the page into a file; default: print it", { value: text() })
    .flag(
      "--report <FILE>",
      "report of `deno task bench --profile --json FILE`, with the limits of the GPU",
      {
        value: text(),
        defaultText: "that of an NVIDIA H200",
      },
    )
    .flag("--batch <N>", "batch size", { value: integer(1, 4096), unit: "images", default: 128 })
    .flag("--precision <TYPE>", "precision of the step", { value: oneOf(PRECISIONS), defaultText: "both" })
    .read<Flags>(args);
}

async function main(args: string[]): Promise<void> {
  const { out, report: path = REPORT, batch, precision } = readFlags(args);
  const report = await readReport(path, "--report");
  const { limits, profiles = [] } = report;
  if (!limits) throw new ConfigError("--report", path, "a report with the limits of the adapter");
  const steps = (precision === undefined ? PRECISIONS : [precision]).flatMap((precision) =>
    WORKS.flatMap((work) =>
      MODELS.map((model) =>
        rooflineOf({ work, model, batch, precision, target: TARGETS[precision] }, { limits, profiles })
      )
    )
  );
  const page = rooflinePage({ ...report, limits }, steps);
  if (out !== undefined) return await writeDurable(out, new TextEncoder().encode(page));
  const output = standardOutput();
  output.write(page);
  if (output.incomplete) Deno.exitCode = 1;
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
