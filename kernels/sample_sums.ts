/**
 * Launcher of `sample_sums.wgsl`: sums over samples, of many layers in one dispatch.
 *
 * @module
 */
import { SUM_COLUMNS, SumBlockLayout } from "./records/layouts.ts";
import { encodeRecord } from "./records/record.ts";
import { grid1d, type Launch, launch } from "./source.ts";
import { sampleSumsKernel } from "./sources.ts";

/** Sum over the rows of a matrix. Positions and sizes are in units of four channels. */
export interface SampleSum {
  /** Position of the matrix in the values. */
  readonly first: number;
  /** Distance of two rows. */
  readonly stride: number;
  /** Rows: samples, or parts of samples. */
  readonly rows: number;
  /** Columns. */
  readonly columns: number;
  /** Position of the result in the sums. */
  readonly result: number;
}

/** Encodes sums as an array of `SumBlock` records, the operand `blocks` of {@linkcode sampleSums}. */
export function encodeSampleSums(sums: readonly SampleSum[]): ArrayBuffer {
  const blocks = sums.flatMap(({ first, stride, rows, columns, result }) =>
    Array.from({ length: Math.ceil(columns / SUM_COLUMNS) }, (_, i) => {
      const before = i * SUM_COLUMNS;
      const within = Math.min(SUM_COLUMNS, columns - before);
      return { first: first + before, stride, rows, columns: within, result: result + before };
    })
  );
  const bytes = new ArrayBuffer(SumBlockLayout.bytes * blocks.length);
  blocks.forEach((block, i) => encodeRecord(SumBlockLayout, block, bytes, i));
  return bytes;
}

/**
 * `sums[result + c] = sum over rows of values[first + stride row + c]` for each encoded sum.
 *
 * @param blocks number of records of {@linkcode encodeSampleSums}
 * @param buffers `blocks`, the records; `values` and `sums`, float32
 */
export function sampleSums<B>(
  blocks: number,
  buffers: { blocks: B; values: B; sums: B },
  label = "sums over samples",
): Launch<B>[] {
  return [launch(sampleSumsKernel, "add", { blocks }, buffers, grid1d(blocks, 1), { label })];
}
