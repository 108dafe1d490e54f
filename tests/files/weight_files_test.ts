import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError } from "../../lib/errors.ts";
import { loadPipeline } from "../../lib/files/pipeline.ts";
import { encodeSafetensors } from "../../lib/files/safetensors.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const STEM = "diffusion_pytorch_model";

/** A file with one tensor of one number. */
function fileOf(name: string, value: number): Uint8Array<ArrayBuffer> {
  return encodeSafetensors(new Map([[name, { dtype: "F32", shape: [1], data: Float32Array.of(value) }]]));
}

type Given = Record<string, Uint8Array | object>;

/** The tensors that are read from a directory with these files, or why they cannot be. */
async function load(files: Given): Promise<Record<string, number> | string> {
  return await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "config.json"), "{}");
    for (const [name, content] of Object.entries(files)) {
      const bytes = content instanceof Uint8Array
        ? content
        : new TextEncoder().encode(JSON.stringify(content));
      await Deno.writeFile(join(directory, name), bytes);
    }
    try {
      const { tensors } = await loadPipeline(directory);
      return Object.fromEntries([...tensors].map(([name, { data }]) => [name, data[0]]));
    } catch (error) {
      assert.ok(error instanceof CheckpointError, String(error));
      return error.message.replaceAll(directory, "DIR");
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
