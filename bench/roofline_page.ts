/**
 * The page `docs/roofline.md`: predicted time of each kernel of a training step and of a network pass.
 *
 * @module
 */
import { FAMILIES } from "./kernel_families.ts";
import { bulletList, markdownTable, wrap } from "./markdown.ts";
import type { BenchReport } from "./report.ts";
import { figure } from "../terminal/table.ts";
import { inPrecision } from "../lib/model/precision.ts";
import { DISPATCH_SECONDS, type Roofline, type RooflineRow, type RooflineWork } from "./roofline.ts";

/** The page as Markdown, as `deno fmt` formats it. */
export function rooflinePage(
  { environment: { adapter, driver, date }, limits }: Required<Pick<BenchReport, "environment" | "limits">>,
  steps: readonly Roofline[],
): string {
  const { fmaGflops, copyGigabytesPerSecond } = limits;
  const used = new Set(steps.flatMap(({ rows }) => rows.map(({ family }) => family)));
  const families = FAMILIES.filter((family) => used.has(family));
  const blocks = [
    "# Roofline of a training step and a network pass",
    wrap(
      "What each kernel of a training step, or of a network pass of sampling, has to do, the time that this takes at the " +
        "limits of one GPU, and a prediction. It is made without a GPU, from the graph that would run, by",
    ),
    "```sh\ndeno task roofline --out docs/roofline.md\n```",
    wrap(
      `The limits were measured on ${adapter.name} (driver ${driver}, ${date.slice(0, 10)}): ` +
        `${figure(fmaGflops / 1000)} TFLOP/s of float32 multiply-add, ${
          figure(copyGigabytesPerSecond / 1000)
        } TB/s ` +
        "of copying, read and written.",
    ),
    bulletList([
      "**MB**: every tensor that a dispatch reads or writes, once.",
      "**GFLOP**: operations performed, 2 per multiply-add. **direct**: those of the direct algorithm, of which Winograd " +
      "F(4x4) performs a quarter, and more at edges.",
      `**floor**: the longer of bytes over copy rate and operations over peak, and ${
        1e6 * DISPATCH_SECONDS
      } us a ` +
      "dispatch. Kernels whose tensors are still in a cache can be faster.",
      "**predicted**: the floor, without the time of the dispatch, over the efficiency of the kernel's family, and that time.",
      "**measured**: in the profile of the report that the limits are from, where that has a kernel of the same name " +
      "with as many calls; it may have changed since. A later report takes its place by `--report FILE` (`deno task " +
      "bench --profile --json FILE`).",
    ]),
    "## Efficiency by family",
    wrap(
      "Share of the limit that a family's kernels reach, without the time of dispatches. Products are limited by multiply-add " +
        "or matrix units, or by copying where that takes longer. Measured shares are of the kernels that were profiled; " +
        "where kernels have changed since, predictions use what is expected of them (`bench/NOTES.md`).",
    ),
    markdownTable(
      ["family", "limit", "measured", "expected"],
      families.map((
        { name, limit, measured, expected },
      ) => [name, limit, percent(measured), percent(expected)]),
      2,
    ),
    ...steps.flatMap(stepBlocks),
  ];
  return blocks.join("\n\n") + "\n";
}

function percent(share: number | undefined): string {
  return share === undefined ? "" : `${figure(100 * share)} %`;
}

/** Title of a section, after the network's name, and the plural. */
const TITLES: Readonly<Record<RooflineWork, readonly [title: string, several: string]>> = {
  step: ["", "steps"],
  pass: [", network pass of sampling", "passes"],
};

function stepBlocks({ work, model, batch, precision, rows }: Roofline): string[] {
  const sum = (of: (row: RooflineRow) => number) => rows.reduce((total, row) => total + of(row), 0);
  const predicted = sum((row) => row.predicted);
  const both = rows.filter((row) => row.measured !== undefined);
  const [of, against] = [
    both.reduce((total, row) => total + row.predicted, 0),
    both.reduce((total, row) => total + row.measured!, 0),
  ];
  const heads = ["kernel", "calls", "MB", "GFLOP", "direct", "floor ms", "predicted ms", "measured ms"];
  const cells = (row: Omit<RooflineRow, "family">) => [
    row.kernel,
    String(row.calls),
    figure(row.bytes / 1e6),
    row.operations === 0 ? "" : figure(row.operations / 1e9),
    row.flops === 0 ? "" : figure(row.flops / 1e9),
    figure(row.floor),
    figure(row.predicted),
    figure(row.measured),
  ];
  const all = {
    kernel: "all",
    calls: sum((row) => row.calls),
    bytes: sum((row) => row.bytes),
    operations: sum((row) => row.operations),
    flops: sum((row) => row.flops),
    floor: sum((row) => row.floor),
    predicted,
  };
  const kept = both.length === 0
    ? ""
    : ` The kernels measured take ${figure(of)} ms of it, and took ${figure(against)} ms.`;
  const [title, several] = TITLES[work];
  return [
    `## \`${model}\`${inPrecision(precision)}, batch ${batch}${title}`,
    wrap(
      `Predicted: ${figure(predicted)} ms a ${work}, ${
        figure(1000 / predicted)
      } ${several}/s; at the limits ${figure(all.floor)} ms, ` +
        `of which dispatches ${figure(1e3 * DISPATCH_SECONDS * all.calls)} ms.${kept}`,
    ),
    markdownTable(heads, [...rows.map(cells), cells(all)], 1),
  ];
}
