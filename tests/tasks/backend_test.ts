/** Tasks on another backend, as processes with the permissions of deno.json. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { dawnBinary } from "../../lib/gpu/dawn/probe.ts";
import { makeMaterial, runTask, startTask, TRAINING } from "../support/command.ts";
import { withServer } from "../support/server/process.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Lines that drivers print are no errors. */
const errorsIn = (err: string) => err.split("\n").filter((line) => /^(error|warning): /.test(line));

Deno.test("train and sample on Dawn do what they do on Deno's WebGPU, and name the adapter", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const training = [...TRAINING, "--steps", "2", "--out", "run", "--backend", "dawn"];
    const trained = await runTask("train", training, directory);
    assert.deepEqual([trained.code, errorsIn(trained.err)], [0, []], trained.out);
    for (const file of ["run/unet/diffusion_pytorch_model.safetensors", "run/loss.png", "run/reverse.gif"]) {
      assert.ok(existsSync(join(directory, file)), file);
    }
    const args = ["--model", "run", "--steps", "2", "--count", "1", "--batch", "2"];
    const [own, onDawn] = await Promise.all([
      runTask("sample", args, directory, { DENOISE_BACKEND: "" }),
      runTask("sample", [...args, "--out", "dawn.png"], directory, { DENOISE_BACKEND: "dawn" }),
    ]);
    const adapter = ({ out }: { out: string }) => /^model run on (.*)$/m.exec(out)?.[1];
    assert.deepEqual([onDawn.code, errorsIn(onDawn.err)], [0, []], onDawn.out);
    assert.ok(existsSync(join(directory, "dawn.png")));
    assert.notEqual(adapter(onDawn), adapter(own));
  });
});

Deno.test("a signal reaches the process on Dawn, which saves, and its exit code comes back", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const training = [...TRAINING, "--epochs", "1000", "--sample-every", "1000", "--out", "run"];
    const task = startTask("train", [...training, "--backend", "dawn"], directory);
    await task.until((line) => /step|epoch/.test(line));
    task.child.kill("SIGTERM");
    const { code, out } = await task.outcome();
    assert.equal(code, 143, out);
    assert.match(out, /saving after this step/);
    assert.ok(existsSync(join(directory, "run")));
  });
});

Deno.test("an unknown backend is refused, naming flag or variable and what is allowed", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const task of ["train", "sample", "serve", "bench", "bench_serve"]) {
      const flag = await runTask(task, ["--backend", "wgpu"], directory);
      assert.equal(flag.code, 2, task);
      assert.match(flag.err, /--backend <NAME>.*wgpu.*Allowed: deno, dawn\./);
      const variable = await runTask(task, [], directory, { DENOISE_BACKEND: "wgpu" });
      assert.equal(variable.code, 2, task);
      assert.match(variable.err, /^error: DENOISE_BACKEND: expected deno or dawn, got "wgpu"$/m);
    }
  });
});

Deno.test("unsafe toggles are warned of before anything runs, where Dawn is asked for", async () => {
  await inTemporaryDirectory(async (directory) => {
    const unsafe = { DENOISE_DAWN_TOGGLES: "skip_validation,disable_robustness" };
    const warning =
      /^warning: Dawn runs with disable_robustness and skip_validation \(DENOISE_DAWN_TOGGLES\), so a fault in/m;
    for (const task of ["sample", "serve"]) {
      const onDawn = await runTask(task, ["--backend", "dawn", "--model", "nowhere"], directory, unsafe);
      assert.match(onDawn.err, warning);
      assert.equal(onDawn.code, 1);
    }
    const own = await runTask("sample", ["--backend", "deno", "--model", "nowhere"], directory, unsafe);
    assert.doesNotMatch(own.err, /warning/);
  });
});

Deno.test("a server on Dawn draws in a worker, with permission for Dawn's binary and no other", async () => {
  await withServer(
    { dawn: { binary: await dawnBinary(), toggles: [] }, tune: "off" },
    async ({ url, logged }) => {
      assert.match(String((await logged("ready")).adapter), /\(.*\(.*\)/); // Dawn's names have the driver in parentheses
      const answer = await fetch(`${url}/generate?steps=2&seed=1`);
      assert.deepEqual([answer.status, answer.headers.get("Content-Type")], [200, "image/png"]);
      await answer.bytes();
    },
  );
});
