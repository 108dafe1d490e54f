import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../../lib/errors.ts";
import { decodeSafetensors, encodeSafetensors } from "../../lib/files/safetensors.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { loadDeviceModel } from "../../lib/sampling/load_model.ts";
import { PIPELINE, WEIGHTS, withModel } from "../support/tiny_pipeline.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("a network whose attention has the names of old diffusers files is the same network", async () => {
  await inTemporaryDirectory(async (directory) => {
    await cp(PIPELINE, directory, { recursive: true });
    const path = join(directory, WEIGHTS);
    const { tensors, metadata } = decodeSafetensors(await Deno.readFile(path), path);
    const old = new Map([...tensors].map(([name, tensor]) => [
      name.replace(".to_q.", ".query.").replace(".to_k.", ".key.").replace(".to_v.", ".value.")
        .replace(".to_out.0.", ".proj_attn."),
      tensor,
    ]));
    assert.equal([...old.keys()].filter((name) => name.includes(".proj_attn.")).length, 8);
    await Deno.writeFile(path, encodeSafetensors(old, metadata));
    const options = { class: 1, count: 2, steps: 2 };
    let pixels: Uint8Array | undefined;
    await withModel(async (model) => void (pixels = (await model.generate(options)).pixels));
    await withModel(
      async (model) => assert.deepEqual((await model.generate(options)).pixels, pixels),
      directory,
    );
  });
});

Deno.test("a file or tensor that is missing or does not fit is an error that names it", async () => {
  await inTemporaryDirectory(async (directory) => {
    await assert.rejects(DDPM.load(join(directory, "nowhere")), (error: Error) => {
      assert.match(error.message, /nowhere: no such file or directory; expected/);
      return error instanceof CheckpointError;
    });
    await cp(PIPELINE, directory, { recursive: true });
    const path = join(directory, WEIGHTS);
    const { tensors } = decodeSafetensors(await Deno.readFile(path), path);
    const bias = tensors.get("conv_in.bias")!;
    for (
      const [changed, message] of [
        [[...tensors].filter(([name]) => name !== "conv_in.bias"), /tensor conv_in\.bias is missing/],
        [[...tensors, ["extra", bias] as const], /tensor extra does not belong to this network/],
        [
          [...tensors, ["conv_out.bias", bias] as const],
          /tensor conv_out\.bias has shape \[4\], the network needs \[3\]/,
        ],
      ] as const
    ) {
      await Deno.writeFile(path, encodeSafetensors(new Map(changed)));
      await assert.rejects(DDPM.load(directory), (error: Error) => {
        assert.match(error.message, message);
        return error instanceof CheckpointError;
      });
    }
    const config = join(directory, "unet/config.json");
    await Deno.writeTextFile(
      config,
      JSON.stringify({ ...JSON.parse(await Deno.readTextFile(config)), act_fn: "tanh" }),
    );
    await assert.rejects(DDPM.load(directory), /^ConfigError: .+: config\.json: act_fn: expected "silu"/);
  });
});

Deno.test("a model opens a device of its own, and closes it", async () => {
  const model = await DDPM.load(PIPELINE);
  assert.ok(model.adapter.length > 0);
  assert.equal((await model.generate({ steps: 1 })).count, 1);
  await model.close();
});

Deno.test("where the guide does not fit into memory, the model's own weights are freed", async () => {
  const unlimited = await openGpu();
  const model = await loadDeviceModel(PIPELINE, { gpu: unlimited });
  const bytes = unlimited.memory.used;
  model.destroy();
  unlimited.close();
  const gpu = await openGpu({ memoryBudget: 1.5 * bytes });
  try {
    await assert.rejects(
      loadDeviceModel(PIPELINE, { gpu, guide: PIPELINE }),
      /^DeviceError: model tiny_pipeline, weights of the guide needs .* of device memory/,
    );
    assert.deepEqual([gpu.memory.live, gpu.memory.used], [0, 0]);
  } finally {
    gpu.close();
  }
});
