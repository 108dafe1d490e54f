/**
 * Rows of the benchmark: their names, and which of them the options select.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";
import type { AdapterDescription } from "../lib/gpu/device.ts";
import { defaultPrecision } from "../lib/model/precision.ts";
import { CIFAR10_PRESETS } from "../lib/model/presets.ts";
import { BATCH_SIZES } from "./kernel_rows.ts";
import { type KernelCase, kernelCases } from "./kernels.ts";
import { MODELS } from "./models.ts";
import { IN_MIXED } from "./precisions.ts";

/** Options that select rows. */
export interface Selection {
  /** Only rows with a matching name are measured. */
  readonly only: RegExp;
  /** Shorter measurements, one each; no precisions and no first steps. */
  readonly quick: boolean;
  /** Measure only rows that an earlier report has, without precisions and first steps. */
  readonly again?: boolean;
}

/** Default of {@linkcode Selection.only}: matches every name. */
const EVERYTHING = new RegExp("");

/** @throws {ConfigError} if the options select no row */
export function checkOnly({ only, quick }: Selection, { software }: AdapterDescription): void {
  const [cases] = kernelCasesFor(software);
  const names = [
    ...cases!.map(({ name }) => name), // one list a batch size
    ...MODELS.map((model) => `training ${model}`),
    ...CIFAR10_PRESETS.map((model) => `sampling ${model}`),
    ...IN_MIXED.map(mixedRow),
    ...quick ? [] : [`first step ${firstStepModel(software)}`],
  ];
  if (names.some((name) => only.test(name))) return;
  throw new ConfigError(
    "--only",
    only.source,
    'a pattern that a row\'s name has, e.g. "conv 3x3" or "training tiny"',
  );
}

/** True if the options select a row that compares mixed precision with float32. */
export function measuresPrecisions({ only, quick, again }: Selection, adapter: AdapterDescription): boolean {
  if (again || !IN_MIXED.some((row) => only.test(mixedRow(row)))) return false;
  // Units that fail their check leave rows that are skipped with the reason.
  const expected = defaultPrecision(adapter) === "mixed" || adapter.matrixFault !== undefined;
  return only.source !== EVERYTHING.source || !quick && expected;
}

/** Name of a row that compares mixed precision with float32. */
function mixedRow([kind, model]: (typeof IN_MIXED)[number]): string {
  return `mixed ${kind} ${model}`;
}

/** Cases by batch size, from large to small. */
export function kernelCasesFor(software: boolean): KernelCase[][] {
  const sizes = software ? { trafficBatch: 64, parameters: 8e6 } : { trafficBatch: 128, parameters: 35.7e6 };
  return BATCH_SIZES.map((batch) => kernelCases({ ...sizes, batch }));
}

/** Network whose first step is measured. */
export function firstStepModel(software: boolean): string {
  return software ? "tiny" : "small";
}
