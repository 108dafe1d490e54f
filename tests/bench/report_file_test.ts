import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readReport } from "../../bench/report_file.ts";
import { ConfigError } from "../../lib/errors.ts";
import { fakeReport } from "../support/bench_report.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("rows of float16 without matrix units in older reports are left out", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const { precisions: [{ mixedMilliseconds, ...row }], ...rest } = fakeReport(0.4, 10);
    const old = { ...rest, precisions: [{ ...row, float16Milliseconds: mixedMilliseconds }] };
    await Deno.writeTextFile(path, JSON.stringify(old));
    assert.deepEqual((await readReport(path)).precisions, []);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a report that was written is read, and what is none is refused with the reason", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "report.json");
    const made = fakeReport(0.4, 10);
    const write = (value: unknown) => Deno.writeTextFile(path, JSON.stringify(value));
    await write(made);
    assert.deepEqual(await readReport(path), made);
    const [training] = made.training;
    for (
      const [value, why] of [
        [null, /expected object, received null/],
        [{ ...made, training: undefined }, /\(training: .*expected array/],
        [{ ...made, environment: {} }, /environment\.adapter: /],
        [{ ...made, kernels: [null] }, /kernels\[0\]: .*expected object/],
        [
          { ...made, training: [{ ...training, milliseconds: "10" }] },
          /training\[0\]\.milliseconds: .*number/,
        ],
        [{ ...made, firstSteps: [{}] }, /firstSteps\[0\]\.model: /],
        [{ ...made, profiles: [{ name: "step", replays: 1, milliseconds: 1, kernels: {} }] }, /\.kernels: /],
        [{ ...made, limits: {} }, /limits\.fmaGflops: /],
        [{ ...made, version: 2 }, /version: .*expected 1/],
      ] as const
    ) {
      await write(value);
      await assert.rejects(
        () => readReport(path, "--report"),
        (error) =>
          error instanceof ConfigError && error.message.startsWith("--report: ") && why.test(error.message),
        String(why),
      );
    }
    await Deno.writeTextFile(path, "no JSON");
    await assert.rejects(() => readReport(path), ConfigError);
    for (const none of [join(directory, "missing.json"), directory, join(path, "below")]) {
      await assert.rejects(() => readReport(none), ConfigError);
    }
  });
});

Deno.test("a figure that was not measured, which JSON has as null, is read as not a number", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "report.json");
    await Deno.writeTextFile(path, JSON.stringify(fakeReport(NaN, 10)));
    assert.deepEqual(await readReport(path), fakeReport(NaN, 10));
  });
});

Deno.test("every report that the repository holds can be read", async () => {
  const folder = fileURLToPath(new URL("../../bench/results", import.meta.url));
  const paths = [join(folder, "llvmpipe.json")];
  for await (const { name } of Deno.readDir(join(folder, "nvidia-h200"))) {
    if (name.endsWith(".json") && name !== "serve.json") paths.push(join(folder, "nvidia-h200", name));
  }
  assert.ok(paths.length > 2);
  for (const path of paths) await readReport(path);
});
