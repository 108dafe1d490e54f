import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { CheckpointError } from "../../lib/errors.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import {
  isFor,
  keepTuning,
  readTuning,
  type TuningFile,
  tuningFile,
  writeRecord,
} from "../../lib/tuning/tuning_file.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const NONE = new Map<string, string>();
const fail = (message: string) => assert.fail(message);

/** A file for an adapter that there is not. */
function fileIn(directory: string, changes: Partial<TuningFile> = {}): TuningFile {
  return { path: join(directory, "toy.json"), identity: { adapter: "toy" }, driver: "Toy 1", ...changes };
}

const choices = (...pairs: [string, string][]) => new Map(pairs);

Deno.test("cached choices are read again, also by another process, and grow", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = fileIn(join(directory, "a", "b"));
    assert.deepEqual(await readTuning(file, fail), NONE);
    await keepTuning(file, NONE, choices(["p", "x"], ["a", "y"]));
    assert.deepEqual(await readTuning(file, fail), choices(["a", "y"], ["p", "x"]));
    await keepTuning(file, await readTuning(file, fail), choices(["q", "z"]));
    assert.deepEqual(await readTuning(file, fail), choices(["a", "y"], ["p", "x"], ["q", "z"]));
  });
});

Deno.test("choices of another process stay, and an invalid one is replaced", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = fileIn(directory);
    await keepTuning(file, NONE, choices(["stale", "gone"]));
    const known = await readTuning(file, fail);
    await keepTuning(file, known, choices(["both", "theirs"]));
    const kept = await keepTuning(file, known, choices(["both", "ours"], ["stale", "new"], ["mine", "ours"]));
    const expected = choices(["both", "theirs"], ["mine", "ours"], ["stale", "new"]);
    assert.deepEqual(Object.fromEntries(kept), Object.fromEntries(expected));
    assert.deepEqual(await readTuning(file, fail), expected);
  });
});

Deno.test("concurrent writers lose nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = fileIn(directory);
    await Deno.writeTextFile(join(directory, ".tmp-denoise-of-a-crash"), "half");
    const many = (i: number) =>
      choices(...Array.from({ length: 200 }, (_, j): [string, string] => [`${i} ${j}`, "x"]));
    await Promise.all(Array.from({ length: 8 }, (_, i) => keepTuning(file, NONE, many(i))));
    const read = await readTuning(file, fail);
    assert.equal(read.size, 8 * 200);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [".lock", "toy.json"]);
  });
});

for (
  const [what, text] of [
    ["empty", ""],
    ["cut short", '{"format": 1, "identity": {"ad'],
    ["no object", "3"],
    ["null", "null"],
    ["of another format", '{"format": 2, "identity": {"adapter": "toy"}, "driver": "Toy 1", "choices": {}}'],
    ["without choices", '{"format": 1, "identity": {"adapter": "toy"}, "driver": "Toy 1"}'],
    ["with a list", '{"format": 1, "identity": {"adapter": "toy"}, "driver": "Toy 1", "choices": ["a"]}'],
    ["with numbers", '{"format": 1, "identity": {"adapter": "toy"}, "driver": "Toy 1", "choices": {"a": 1}}'],
    ["without a driver", '{"format": 1, "identity": {"adapter": "toy"}, "choices": {"a": "b"}}'],
  ] as const
) {
  Deno.test(`a file that is ${what} is a warning, counts as absent, and is replaced by the next write`, async () => {
    await inTemporaryDirectory(async (directory) => {
      const file = fileIn(directory);
      await Deno.writeTextFile(file.path, text);
      const warnings: string[] = [];
      assert.deepEqual(await readTuning(file, (message) => warnings.push(message)), NONE);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0], /toy\.json is damaged/);
      await keepTuning(file, NONE, choices(["a", "b"]));
      assert.deepEqual(await readTuning(file, fail), choices(["a", "b"]));
    });
  });
}

Deno.test("a file that cannot be read is a warning, and one that cannot be written an error, with the path", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = fileIn(directory);
    await Deno.mkdir(file.path);
    const warnings: string[] = [];
    assert.deepEqual(await readTuning(file, (message) => warnings.push(message)), NONE);
    assert.match(warnings[0], /toy\.json: .* cannot be read/);
    await Deno.writeTextFile(join(directory, "file"), "");
    const nowhere = fileIn(join(directory, "file"));
    await assert.rejects(keepTuning(nowhere, NONE, choices(["a", "b"])), (error: Error) => {
      assert.match(error.message, /cannot write .*toy\.json/);
      return error instanceof CheckpointError;
    });
  });
});

Deno.test("choices are valid for one adapter, runtime and version; another driver invalidates them, an unknown one does not", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = fileIn(directory);
    await keepTuning(file, NONE, choices(["a", "b"]));
    const read = (changes: Partial<TuningFile>) => readTuning(fileIn(directory, changes), fail);
    assert.deepEqual(await read({ driver: "Toy 2" }), NONE);
    assert.deepEqual(await read({ identity: { adapter: "toy", version: "2" } }), NONE);
    assert.deepEqual(await read({ driver: "unknown" }), choices(["a", "b"]));
    // Who does not know the driver does not make it be forgotten.
    await keepTuning({ ...file, driver: "unknown" }, NONE, choices(["c", "d"]));
    assert.deepEqual(await read({}), choices(["a", "b"], ["c", "d"]));
    assert.deepEqual(await read({ driver: "Toy 2" }), NONE);
    await keepTuning({ ...file, driver: "Toy 2" }, NONE, choices(["e", "f"]));
    assert.deepEqual(await read({ driver: "Toy 2" }), choices(["e", "f"]));
  });
  const toy = { identity: { adapter: "toy" }, driver: "1" };
  assert.ok(!isFor({ ...toy, identity: { adapter: "toy", more: "" } }, toy));
});

Deno.test("a file is named after the adapter, and differs between devices that differ", async () => {
  const gpu = await testGpu();
  const { path, identity } = tuningFile(gpu, "kept");
  assert.match(path, /^kept[/\\][a-z\d-]+-[\da-f]{8}\.json$/);
  assert.equal(dirname(path), "kept");
  assert.equal(identity.adapter, gpu.adapter.name);
  assert.equal(identity.runtime, gpu.adapter.backend === "deno" ? navigator.userAgent : "Dawn/0.6.2");
  assert.match(identity.version, /^\d+\.\d+\.\d+, \d+$/);
  const other = {
    ...gpu,
    adapter: { ...gpu.adapter, name: `../${gpu.adapter.name}` },
    limits: gpu.limits,
    device: gpu.device,
  };
  const changed = tuningFile(other as unknown as Gpu, "kept").path;
  const runtimes = ([["deno", []], ["dawn", []], ["dawn", ["skip_validation"]]] as const).map(
    ([backend, toggles]) => {
      const adapter = { ...gpu.adapter, backend, toggles };
      return tuningFile(
        { ...gpu, adapter, limits: gpu.limits, device: gpu.device } as unknown as Gpu,
        "kept",
      );
    },
  );
  assert.equal(new Set(runtimes.map(({ path }) => path)).size, 3);
  assert.equal(dirname(changed), "kept");
  assert.notEqual(changed, path);
});

Deno.test("the file is readable text in sorted order", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { path, identity, driver } = fileIn(directory);
    await writeRecord(path, { identity, driver, choices: choices(["b", "2"], ["a", "1"]) });
    assert.deepEqual(Object.keys(JSON.parse(await Deno.readTextFile(path)).choices), ["a", "b"]);
    assert.match(await Deno.readTextFile(path), /\n {4}"a": "1",\n {4}"b": "2"\n/);
  });
});
