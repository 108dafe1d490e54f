import assert from "node:assert/strict";
import { qualityPage, type QualityResults } from "../../bench/quality_page.ts";

const HEAD = {
  environment: { adapter: "llvmpipe", driver: "25", deno: "2.9.6", threads: 2, date: "2026-11-30" },
  version: "0.1.0",
  commands: ["deno task quality samplers --images 30"],
  classifier: "c0",
  data: { name: "cifar10", digest: "d0", images: 10000 },
  seed: 0,
};

function measures(kernel: number, images = 30) {
  return {
    images,
    frechetDistance: { value: 3.25, error: null },
    kernelDistance: { value: kernel, error: 0.0011 },
    classConsistency: { value: 0.8, error: 0.1 },
  };
}

const PLAN = { spacing: "linspace", steps: 10, evaluations: 10 } as const;
const GUIDED = { ...PLAN, guidance: 2, guidanceRescale: 0, guidanceInterval: null } as const;

const RESULTS: QualityResults = {
  samplers: {
    ...HEAD,
    model: { path: "checkpoints/cifar10", digest: "m0" },
    solution: { ...PLAN, sampler: "dpm++2m", images: 20 },
    cells: [
      { ...GUIDED, sampler: "ddim", ...measures(0.02), saturated: 0.031, solutionError: 0.25 },
      { ...GUIDED, sampler: "unipc", ...measures(0.01), saturated: 0.031, solutionError: 0.125 },
      { ...GUIDED, sampler: "ddpm", ...measures(0.005, 60), saturated: 0.031, solutionError: null },
    ],
    testImages: [{ ...measures(0.001), saturated: 0.02 }],
    times: [{ ...GUIDED, sampler: "unipc", images: 3, seconds: 1.234 }],
  },
  recipes: {
    ...HEAD,
    ...{ preset: "tiny", steps: 800, batch: 32, sampling: { guidance: 2, evaluations: 15 } },
    denoising: { sigmas: [0.1, 1], images: 500 },
    recipes: [
      { ...PLAN, name: "plain", settings: {}, sampler: "ddim", ...measures(0.02), x0Errors: [0.001, 0.1] },
      {
        ...{ ...PLAN, name: "flow", settings: { objective: "flow", flowTimes: "logit-normal" } },
        ...{ sampler: "ddim", ...measures(0.01), x0Errors: [0.002, 0.05] },
      },
    ],
    testImages: measures(0.001),
  },
  models: [{
    model: { path: "checkpoints/cifar10", digest: "m0" },
    settings: { sampler: "unipc", steps: 15 },
    adapter: "llvmpipe",
    command: "deno task evaluate --images 100",
    likelihood: { images: 32, bitsPerDimension: 3.94, standardError: 0.1 },
    samples: { images: 100, frechetDistance: 2.5, kernelDistance: { mean: 0.0123 }, classConsistency: 0.9 },
    testImages: {
      images: 100,
      frechetDistance: 0.8,
      kernelDistance: { mean: 0.001 },
      classConsistency: 0.85,
    },
  }],
};

/** Cells of the rows that begin with a word. */
function rowsOf(page: string, first: string): string[][] {
  return page.split("\n").filter((line) => line.startsWith(`| ${first} `))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

Deno.test("the page of quality has a row for each sampler, the most images first, then by kernel distance", () => {
  const page = qualityPage(RESULTS);
  assert.deepEqual(rowsOf(page, "unipc"), [[
    ...[
      "unipc",
      "linspace",
      "2",
      "10",
      "10",
      "30",
      "3.25",
      "10.0 ± 1.1",
      "80 ± 10 %",
      "3.1 %",
      "0.125",
      "1.23",
    ],
  ]]);
  const order = page.split("\n").map((line) => /^\| (ddpm|ddim|unipc) /.exec(line)?.[1]).filter(Boolean);
  assert.deepEqual(order, ["ddpm", "unipc", "ddim"]);
  assert.deepEqual(rowsOf(page, "ddpm")[0]!.slice(-2), ["", ""], "neither error nor time");
  assert.match(page, /```sh\ndeno task quality samplers --images 30\n```/);
});

Deno.test("rows of tables have as many cells as their heads", () => {
  const tables = qualityPage(RESULTS).split("\n\n").filter((block) => block.startsWith("|"));
  assert.ok(tables.length >= 3);
  for (const table of tables) {
    const widths = table.trim().split("\n").map((row) => row.split("|").length);
    assert.deepEqual([...new Set(widths)], [widths[0]], table);
  }
});

Deno.test("the page of quality names the flags of each recipe, and the likelihood of each model", () => {
  const page = qualityPage(RESULTS);
  assert.match(page, /- `plain`: the defaults\n- `flow`: `--objective flow --flow-times logit-normal`/);
  assert.deepEqual(rowsOf(page, "flow")[0]!.slice(-2), ["0.00200", "0.0500"]);
  assert.deepEqual(
    rowsOf(page, "`checkpoints/cifar10`"),
    [["`checkpoints/cifar10`", "3.94 ± 0.10", "100", "2.50", "12.3", "90 %", "unipc, 15 steps"]],
  );
  assert.doesNotMatch(qualityPage({ models: [] }), /##/);
});

Deno.test("the page of quality is formatted as deno fmt does", async () => {
  const format = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext=md", "--line-width=110", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = format.stdin.getWriter();
  const page = qualityPage(RESULTS);
  await writer.write(new TextEncoder().encode(page));
  await writer.close();
  const { stdout } = await format.output();
  assert.equal(new TextDecoder().decode(stdout), page);
});
