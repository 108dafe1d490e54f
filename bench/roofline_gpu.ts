/**
 * The page `docs/roofline.md` as generated: limits of an H200, presets and precisions.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { KernelTarget } from "../kernels/target.ts";
import { ConfigError } from "../lib/errors.ts";
import { type Precision, PRECISIONS } from "../lib/model/precision.ts";
import { readReport } from "./report_file.ts";
import { rooflineOf } from "./roofline.ts";
import { rooflinePage } from "./roofline_page.ts";

/** Networks of the page, the one that the targets are stated for first. */
export const ROOFLINE_MODELS: readonly string[] = ["ddpm", "small"];

const WORKS = ["step", "pass"] as const;

/** Batch size of the page. */
export const ROOFLINE_BATCH = 128;

/** Limits of an H200, and the profiles measured on it. */
const REPORT = fileURLToPath(new URL("results/nvidia-h200/profile-float32.json", import.meta.url));

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

/** Options of {@linkcode presetsRoofline}. */
export interface PresetsRooflineOptions {
  /** Report with limits of the GPU; default: that of an H200. */
  readonly report?: string;
  /** Default: {@linkcode ROOFLINE_BATCH}. */
  readonly batch?: number;
  /** Default: both. */
  readonly precision?: Precision;
}

/**
 * The page for {@linkcode ROOFLINE_MODELS}; by default the text of `docs/roofline.md`.
 *
 * @throws {ConfigError} if the report cannot be read or has no limits
 */
export async function presetsRoofline(
  { report: path = REPORT, batch = ROOFLINE_BATCH, precision }: PresetsRooflineOptions = {},
): Promise<string> {
  const report = await readReport(path, "--report");
  const { limits, profiles = [] } = report;
  if (!limits) throw new ConfigError("--report", path, "a report with the limits of the adapter");
  const steps = (precision === undefined ? PRECISIONS : [precision]).flatMap((precision) =>
    WORKS.flatMap((work) =>
      ROOFLINE_MODELS.map((model) =>
        rooflineOf({ work, model, batch, precision, target: TARGETS[precision] }, { limits, profiles })
      )
    )
  );
  return rooflinePage({ ...report, limits }, steps);
}
