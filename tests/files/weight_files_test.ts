import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { loadPipeline } from "../../lib/files/pipeline.ts";
import { encodeSafetensors } from "../../lib/files/safetensors.ts";
import { exceptDigests } from "../support/digest_warning.ts";
import { dictionary, tensor, torchZip } from "../support/torch_files.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const STEM = "diffusion_pytorch_model";

/** A file with one tensor of one number. */
function fileOf(name: string, value: number): Uint8Array<ArrayBuffer> {
  return encodeSafetensors(new Map([[name, { dtype: "F32", shape: [1], data: Float32Array.of(value) }]]));
}

/** The same as a PyTorch checkpoint. */
function torchFileOf(name: string, value: number): Uint8Array<ArrayBuffer> {
  return torchZip(dictionary({ [name]: tensor({ shape: [1] }) }), { "0": [value, 0] });
}

type Given = Record<string, Uint8Array | object>;

/** The tensors that are read from a directory with these files, or why they cannot be. */
async function load(files: Given, variant?: string): Promise<Record<string, number> | string> {
  return (await loadWarned(files, { variant })).loaded;
}

/** Likewise, with the warnings; of one of the files, if `open` names it. */
async function loadWarned(
  files: Given,
  { variant, open = "." }: { variant?: string | undefined; open?: string },
): Promise<{ loaded: Record<string, number> | string; warnings: string[] }> {
  const warnings: string[] = [];
  return await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "config.json"), "{}");
    for (const [name, content] of Object.entries(files)) {
      const bytes = content instanceof Uint8Array
        ? content
        : new TextEncoder().encode(JSON.stringify(content));
      await Deno.writeFile(join(directory, name), bytes);
    }
    try {
      const onWarning = exceptDigests((message) => warnings.push(message.replaceAll(directory, "DIR")));
      const { tensors } = await loadPipeline(join(directory, open), { variant, onWarning });
      const loaded = Object.fromEntries([...tensors].map(([name, { data }]) => [name, data[0]]));
      return { loaded, warnings };
    } catch (error) {
      assert.ok(error instanceof CheckpointError || error instanceof ConfigError, String(error));
      return { loaded: error.message.replaceAll(directory, "DIR"), warnings };
    }
  });
}

Deno.test("a variant is read where the full weights are missing, fp16 before bf16", async () => {
  const [full, fp16, bf16, ema] = [1, 2, 3, 4].map((value) => fileOf("a", value));
  const name = (variant: string) => `${STEM}${variant}.safetensors`;
  assert.deepEqual(await load({ [name("")]: full, [name(".fp16")]: fp16 }), { a: 1 });
  assert.deepEqual(await load({ [name(".bf16")]: bf16, [name(".fp16")]: fp16 }), { a: 2 });
  assert.deepEqual(await load({ [name(".bf16")]: bf16 }), { a: 3 });
  assert.deepEqual(await load({ [name(".non_ema")]: ema }), { a: 4 });
});

Deno.test("sharded weights are read, by their index or by file names", async () => {
  const part = (variant: string, i: number, of: number) =>
    `${STEM}${variant}-0000${i}-of-0000${of}.safetensors`;
  const [a, b, c] = [fileOf("a", 1), fileOf("b", 2), fileOf("a", 3)];
  const index = { metadata: { total_size: 8 }, weight_map: { a: part("", 1, 2), b: part("", 2, 2) } };
  const both = { [part("", 1, 2)]: a, [part("", 2, 2)]: b };
  assert.deepEqual(await load(both), { a: 1, b: 2 });
  // A part of an earlier save does not belong.
  const indexed = { ...both, [`${STEM}.safetensors.index.json`]: index, [part("", 1, 3)]: c };
  assert.deepEqual(await load(indexed), { a: 1, b: 2 });
  const variant = { [part(".fp16", 1, 2)]: a, [part(".fp16", 2, 2)]: b };
  assert.deepEqual(await load(variant), { a: 1, b: 2 });
  const map = { weight_map: { a: part(".fp16", 1, 2), b: part(".fp16", 2, 2) } };
  for (const name of [`${STEM}.safetensors.index.fp16.json`, `${STEM}.safetensors.fp16.index.json`]) {
    assert.deepEqual(await load({ ...variant, [name]: map, [part(".fp16", 3, 3)]: c }), { a: 1, b: 2 });
  }
});

Deno.test("PyTorch's files are read in the same forms, safetensors being preferred", async () => {
  const name = (middle: string) => `${STEM}${middle}.bin`;
  const [a, b, c] = [torchFileOf("a", 1), torchFileOf("b", 2), fileOf("a", 3)];
  assert.deepEqual(await load({ [name("")]: a }), { a: 1 });
  assert.deepEqual(await load({ [name("")]: a, [`${STEM}.safetensors`]: c }), { a: 3 });
  assert.deepEqual(await load({ [name("")]: a, [`${STEM}.fp16.safetensors`]: c }), { a: 1 });
  assert.deepEqual(await load({ [name(".fp16")]: a }), { a: 1 });
  const shards = { [name("-00001-of-00002")]: a, [name("-00002-of-00002")]: b };
  assert.deepEqual(await load(shards), { a: 1, b: 2 });
  const map = { weight_map: { a: name("-00001-of-00002"), b: name("-00002-of-00002") } };
  const left = { [name("-00003-of-00003")]: torchFileOf("a", 9) };
  assert.deepEqual(await load({ ...shards, ...left, [`${STEM}.bin.index.json`]: map }), { a: 1, b: 2 });
  for (const index of [`${STEM}.bin.index.fp16.json`, `${STEM}.bin.fp16.index.json`]) {
    const variant = { "x-1.bin": a, "x-2.bin": b, [index]: { weight_map: { a: "x-1.bin", b: "x-2.bin" } } };
    assert.deepEqual(await load(variant), { a: 1, b: 2 });
  }
});

Deno.test("a single weight file may have any name, and one of several is opened by its path", async () => {
  const [a, b] = [torchFileOf("a", 1), fileOf("a", 2)];
  for (const name of ["weights.pt", "model.pth", "last.ckpt", "pytorch_model.bin"]) {
    assert.deepEqual(await load({ [name]: a }), { a: 1 });
  }
  assert.deepEqual(await load({ "model.safetensors": b }), { a: 2 });
  const several = { "model.safetensors": b, "optimizer.bin": a };
  assert.equal(
    await load(several),
    `DIR: expected ${STEM}.safetensors, or one other weight file, found model.safetensors, optimizer.bin; ` +
      "name one of them as the model",
  );
  assert.deepEqual((await loadWarned(several, { open: "model.safetensors" })).loaded, { a: 2 });
  assert.deepEqual((await loadWarned(several, { open: "optimizer.bin" })).loaded, { a: 1 });
  assert.match(
    (await loadWarned(several, { open: "absent.bin" })).loaded as string,
    /absent\.bin: no such file or directory; expected/,
  );
});

Deno.test("a pipeline's weight file is opened with the pipeline's schedule", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const part of ["unet", "scheduler"]) await Deno.mkdir(join(directory, part));
    const json = async (path: string, value: object) =>
      await Deno.writeTextFile(join(directory, path), JSON.stringify(value));
    await json("unet/config.json", {});
    await json("scheduler/scheduler_config.json", { steps: 7 });
    const [plain, ema] = ["", ".non_ema"].map((variant) => join(directory, `unet/${STEM}${variant}.bin`));
    await Deno.writeFile(plain, torchFileOf("a", 1));
    await Deno.writeFile(ema, torchFileOf("a", 2));
    const { tensors, schedulerConfig, path } = await loadPipeline(ema, { onWarning: () => {} });
    assert.deepEqual([path, schedulerConfig, tensors.get("a")!.data[0]], [directory, { steps: 7 }, 2]);
  });
});

Deno.test("a variant is read by its name, and the choice among several is reported", async () => {
  const [full, fp16, ema] = [1, 2, 3].map((value) => fileOf("a", value));
  const [half, other] = [`${STEM}.fp16.safetensors`, `${STEM}.non_ema.safetensors`];
  const files = { [`${STEM}.safetensors`]: full, [half]: fp16, [other]: ema };
  assert.deepEqual(await load(files, "fp16"), { a: 2 });
  assert.deepEqual(await load(files, "non_ema"), { a: 3 });
  assert.deepEqual(await loadWarned(files, {}), { loaded: { a: 1 }, warnings: [] });
  assert.deepEqual(await loadWarned({ [half]: fp16, [other]: ema }, {}), {
    loaded: { a: 2 },
    warnings: [
      "DIR: took the weights of variant fp16, because there are none without a variant; others: non_ema",
    ],
  });
  assert.equal(
    await load(files, "non-ema"),
    'variant: expected a variant in DIR: fp16, non_ema, got "non-ema"',
  );
  assert.equal(
    await load({ [`${STEM}.safetensors`]: full }, "fp16"),
    'variant: expected none: DIR has weights without variants only, got "fp16"',
  );
});

Deno.test("shards that are missing, left over or overlapping are refused by name", async () => {
  const [first, second] = [1, 2].map((i) => `${STEM}-0000${i}-of-00002.safetensors`);
  const [a, b] = [fileOf("a", 1), fileOf("a", 2)];
  assert.equal(await load({ [second]: a }), `DIR: expected all shards of the weights, found only ${second}`);
  assert.match(
    await load({ [first]: a, [second]: a, [`${STEM}-00001-of-00003.safetensors`]: b }) as string,
    /expected all shards of the weights, found only/,
  );
  const index = `${STEM}.safetensors.index.json`;
  assert.equal(
    await load({ [first]: a, [index]: { weight_map: { a: first, b: second } } }),
    `DIR/${index}: lists "${second}", which is missing in DIR`,
  );
  assert.equal(
    await load({ [first]: a, [index]: { weight_map: { a: "../secret.safetensors" } } }),
    `DIR/${index}: lists "../secret.safetensors", which is missing in DIR`,
  );
  assert.equal(await load({ [first]: a, [second]: b }), `DIR/${second}: tensor "a" is also in another shard`);
});

Deno.test("a Git LFS pointer and a saved error page are recognized", async () => {
  const pointer = new TextEncoder().encode(
    `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 143\n`,
  );
  const page = new TextEncoder().encode("\n<!DOCTYPE html><title>404</title>");
  const weights = `${STEM}.safetensors`;
  assert.equal(
    await load({ [weights]: pointer }),
    `DIR/${weights}: a Git LFS pointer, not the file: run git lfs pull`,
  );
  assert.equal(
    await load({ [weights]: page }),
    `DIR/${weights}: an HTML page, not the file: download it again`,
  );
  assert.equal(
    await load({ [weights]: fileOf("a", 1), "config.json": pointer }),
    "DIR/config.json: a Git LFS pointer, not the file: run git lfs pull",
  );
});

Deno.test("JSON is read with a byte-order mark, in UTF-8 and UTF-16", async () => {
  const text = '\ufeff{"sample_size": 32}';
  const utf16 = new Uint8Array(Uint16Array.from(text, (letter) => letter.charCodeAt(0)).buffer);
  for (const bytes of [new TextEncoder().encode(text), utf16]) {
    assert.deepEqual(await load({ [`${STEM}.safetensors`]: fileOf("a", 1), "config.json": bytes }), { a: 1 });
  }
});
