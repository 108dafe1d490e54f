import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPipeline } from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { dictionary, storage, tensor, torchZip } from "../support/torch_files.ts";
import { runTask } from "../support/command.ts";

const MODEL = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));

Deno.test("a model is exported in the precision asked for, and the report says how large it is", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--model", MODEL, "--out", "mine/model", "--precision", "float32"];
    const { code, out, err } = await runTask("export", flags, directory);
    assert.deepEqual([code, err], [0, ""]);
    assert.match(
      out,
      /^warning: .* no digests .*\nexported .*tiny_pipeline to mine\/model: [\d,]+ weights in float32, 0\.\d MB\n$/,
    );
    const [before, after] = [await loadPipeline(MODEL), await loadPipeline(join(directory, "mine/model"))];
    assert.deepEqual(after.tensors, before.tensors);
    assert.deepEqual(after.schedulerConfig, before.schedulerConfig);
  });
});

Deno.test("a variant and a PyTorch checkpoint are exported as the safetensors of a pipeline", async () => {
  await inTemporaryDirectory(async (directory) => {
    const source = join(directory, "source");
    const weights = join(source, "unet/diffusion_pytorch_model.safetensors");
    for (const part of ["unet", "scheduler"]) await Deno.mkdir(join(source, part), { recursive: true });
    for (const name of ["unet/config.json", "scheduler/scheduler_config.json"]) {
      await Deno.copyFile(join(MODEL, name), join(source, name));
    }
    await Deno.copyFile(join(MODEL, "unet/diffusion_pytorch_model.safetensors"), weights);
    const { tensors } = await loadPipeline(MODEL);
    const ema = [...tensors].map(([name, { shape, data }], i) => {
      const parts = { storage: storage(`${i}`, data.length), shape, strides: contiguous(shape) };
      return [name, tensor(parts), data.map((value) => value / 2)] as const;
    });
    const dict = dictionary(Object.fromEntries(ema.map(([name, pickle]) => [name, pickle])));
    const storages = Object.fromEntries(ema.map(([, , data], i) => [`${i}`, [...data]]));
    const bin = torchZip(dictionary({ ema: dict }), storages);
    await Deno.writeFile(weights.replace(".safetensors", ".mean.bin"), bin);
    const flags = ["--model", "source", "--variant", "mean", "--out", "mine", "--precision", "float32"];
    const { code, out, err } = await runTask("export", flags, directory);
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /took the weights under "ema"\n/);
    const exported = await loadPipeline(join(directory, "mine"), { onWarning: () => {} });
    for (const [name, , data] of ema) assert.deepEqual(exported.tensors.get(name)!.data, data);
  });
});

/** Strides of row-major order. */
function contiguous(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

Deno.test("a failed export says why, and writes nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string[], number, RegExp][] = [
      [["--model", "nowhere"], 1, /^error: nowhere: no such file or directory; expected .*\n$/],
      [
        ["--model", join(MODEL, "model_index.json")],
        2,
        /^error: --model: expected a directory, or a file of weights \(.*\), got ".*model_index\.json"\n$/,
      ],
      [["--model", MODEL, "--precision", "int8"], 2, /--precision.*'int8'.*float16, float32/],
      [
        ["--model", MODEL, "--out", "."],
        2,
        /^error: --out: expected a directory that does not exist, or is empty/,
      ],
    ];
    await Deno.writeTextFile(join(directory, "mine.txt"), "keep");
    for (const [flags, status, message] of cases) {
      const { code, out, err } = await runTask("export", flags, directory);
      assert.match(err, message);
      assert.deepEqual([code, out], [status, ""]);
    }
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["mine.txt"]);
  });
});

Deno.test("a model is exported with the sampler asked for as its scheduler, and refused one that has none", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--model", MODEL, "--out", "model", "--sampler", "unipc", "--spacing", "karras"];
    const { code, err } = await runTask("export", flags, directory);
    assert.deepEqual([code, err], [0, ""]);
    const { schedulerConfig, modelIndex } = await loadPipeline(join(directory, "model"));
    assert.deepEqual(
      [schedulerConfig!._class_name, schedulerConfig!.use_karras_sigmas, modelIndex!.scheduler],
      ["UniPCMultistepScheduler", true, ["diffusers", "UniPCMultistepScheduler"]],
    );
    const refused = await runTask(
      "export",
      ["--model", MODEL, "--out", "other", "--sampler", "edm"],
      directory,
    );
    assert.equal(refused.code, 2);
    assert.match(refused.err, /--sampler: .*diffusers has no scheduler for others, got "edm"/);
  });
});
