/** Tasks with settings files, as processes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { runTask } from "../support/command.ts";
import { ROOT } from "../support/documents.ts";
import { withServeTask } from "../support/serve_task.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const MODEL = join(ROOT, "checkpoints/cifar10-tiny");

Deno.test("sample draws what a settings file says, beside the file", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.mkdir(join(directory, "cats"));
    const settings = {
      model: MODEL,
      class: "cat",
      count: 1,
      steps: 2,
      guidance: 1,
      out: "cats.png",
      quiet: true,
    };
    await Deno.writeTextFile(join(directory, "cats/sample.json"), JSON.stringify(settings));
    const drawn = await runTask("sample", ["--settings", "cats/sample.json"], directory);
    assert.deepEqual([drawn.code, drawn.out, drawn.err], [0, "", ""]);
    const flags = ["--model", MODEL, "--class", "cat", "--count", "1", "--steps", "2", "--guidance", "1"];
    assert.equal((await runTask("sample", [...flags, "--out", "flags.png"], directory)).code, 0);
    const [file, other] = await Promise.all(
      ["cats/cats.png", "flags.png"].map((name) => Deno.readFile(join(directory, name))),
    );
    assert.deepEqual(file, other);
    const wrong = await runTask("sample", ["--settings", "cats/sample.json", "--class", "cta"], directory);
    assert.match(wrong.err, /^error: --class: expected .*did you mean cat\?/);
    await Deno.writeTextFile(
      join(directory, "cats/sample.json"),
      JSON.stringify({ ...settings, class: "cta" }),
    );
    const inFile = await runTask("sample", ["--settings", "cats/sample.json"], directory);
    assert.equal(inFile.code, 2);
    assert.match(inFile.err, /^error: cats\/sample\.json:1: class: expected .*did you mean cat\?/);
  });
});

Deno.test("serve takes its flags from a settings file", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(
      join(directory, "serve.json"),
      JSON.stringify({ model: MODEL, maxImages: 3, publicUrl: "https://cats.example.org" }),
    );
    await withServeTask(["--settings", "serve.json"], directory, async (address) => {
      const response = await fetch(`${address}/generate?count=4`);
      assert.equal(response.status, 400);
      assert.match(await response.text(), /count.*from 1 to 3/);
    });
  });
});
