import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { CheckpointError } from "../../lib/errors.ts";
import { loadPipeline } from "../../lib/files/pipeline.ts";
import { encodeSafetensors } from "../../lib/files/safetensors.ts";
import { cachedModel, fetchModel, type FetchModelOptions } from "../../lib/remote/fetch_model.ts";
import { type Behaviour, withModelServer } from "../support/model_server.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const STEM = "diffusion_pytorch_model";

/** A weight file with one tensor. */
function weightsOf(name: string, value: number, count = 1): Uint8Array<ArrayBuffer> {
  const data = new Float32Array(count).fill(value);
  return encodeSafetensors(new Map([[name, { dtype: "F32", shape: [count], data }]]));
}

const WEIGHTS = weightsOf("a", 1, 5000);

const PIPELINE = {
  "m/model_index.json": "{}",
  "m/unet/config.json": '{"sample_size":8}',
  "m/scheduler/scheduler_config.json": '{"steps":7}',
  [`m/unet/${STEM}.safetensors`]: WEIGHTS,
};

function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Runs `body` with a server and an empty cache. */
async function withCache(
  behaviour: Behaviour,
  body: (
    fetch: (path: string, options?: FetchModelOptions) => ReturnType<typeof fetchModel>,
    context: { cache: string; base: string; asked: (readonly [string, string | null])[] },
  ) => Promise<void>,
): Promise<void> {
  await inTemporaryDirectory((cache) =>
    withModelServer(
      behaviour,
      (base, asked) =>
        body((path, options) => fetchModel(`${base}/${path}`, { cache, ...options }), { cache, base, asked }),
    )
  );
}

/** The message of the error that fetching must end in, without the port. */
async function errorOf(fetched: Promise<unknown>): Promise<string> {
  let message = "";
  await assert.rejects(fetched, (error: Error) => {
    message = error.message.replace(/127\.0\.0\.1:\d+/g, "HOST");
    return error instanceof CheckpointError;
  });
  return message;
}

/** What is in the cache, but for its lock. */
function inCache(cache: string): string[] {
  return [...Deno.readDirSync(cache)].map(({ name }) => name).filter((name) => name !== ".lock");
}

async function read(path: string) {
  const { tensors, schedulerConfig } = await loadPipeline(path, { onWarning: () => {} });
  return {
    tensors: Object.fromEntries([...tensors].map(([name, { data }]) => [name, data[0]])),
    schedulerConfig,
  };
}

Deno.test("a pipeline is fetched once, with its digest, and then read from the cache", async () => {
  await withCache({ files: PIPELINE }, async (fetch, { cache, base, asked }) => {
    const model = await fetch("m");
    assert.equal(model.sha256, sha256(WEIGHTS));
    assert.deepEqual(await read(model.path), { tensors: { a: 1 }, schedulerConfig: { steps: 7 } });
    const requests = asked.length;
    assert.deepEqual(await fetch("m/"), model);
    assert.deepEqual(await cachedModel(`${base}/m`, { cache }), model);
    assert.equal(asked.length, requests);
    assert.equal(inCache(cache).length, 1);
    assert.match(inCache(cache)[0], /^127\.0\.0\.1-m-[0-9a-f]{12}$/);
    await fetch("m", { reload: true });
    assert.ok(asked.length > requests);
  });
});

Deno.test("a network's directory, shards, variants and PyTorch's files are found by their names", async () => {
  const index = (shards: string[]) =>
    JSON.stringify({ weight_map: Object.fromEntries(shards.map((s, i) => [i, s])) });
  const shards = ["x-1.safetensors", "x-2.safetensors"];
  const files = {
    "plain/config.json": "{}",
    "plain/scheduler_config.json": '{"steps":3}',
    [`plain/${STEM}.safetensors`]: weightsOf("a", 1),
    [`plain/${STEM}.fp16.safetensors`]: weightsOf("a", 2),
    "shards/config.json": "{}",
    [`shards/${STEM}.safetensors.index.json`]: index(shards),
    "shards/x-1.safetensors": weightsOf("a", 3),
    "shards/x-2.safetensors": weightsOf("b", 4),
    "half/config.json": "{}",
    [`half/${STEM}.fp16.safetensors`]: weightsOf("a", 5),
  };
  await withCache({ files }, async (fetch, { cache }) => {
    assert.deepEqual(await read((await fetch("plain")).path), {
      tensors: { a: 1 },
      schedulerConfig: { steps: 3 },
    });
    assert.deepEqual((await read((await fetch("plain", { variant: "fp16" })).path)).tensors, { a: 2 });
    const sharded = await fetch("shards");
    assert.deepEqual((await read(sharded.path)).tensors, { a: 3, b: 4 });
    const lines = shards.map((name) => `${sha256(files[`shards/${name}` as keyof typeof files])}  ${name}\n`);
    assert.equal(sharded.sha256, sha256(lines.join("")));
    assert.deepEqual((await read((await fetch("half/")).path)).tensors, { a: 5 });
    assert.match(
      await errorOf(fetch("plain", { variant: "bf16" })),
      /^http:\/\/HOST\/plain\/: no weights there: none of .*\.bf16\.safetensors, .*\.bf16\.bin, nor an index of one$/,
    );
    assert.equal(inCache(cache).length, 4, "nothing half-written stays");
  });
});

Deno.test("a weight file is fetched with the configuration beside it, and a pipeline's with its schedule", async () => {
  const files = { ...PIPELINE, "w/config.json": "{}", "w/model.pt.safetensors": weightsOf("a", 2) };
  await withCache({ files }, async (fetch) => {
    const model = await fetch(`m/unet/${STEM}.safetensors?download=true`);
    assert.deepEqual(await read(model.path), { tensors: { a: 1 }, schedulerConfig: { steps: 7 } });
    assert.deepEqual((await read((await fetch("w/model.pt.safetensors")).path)).tensors, { a: 2 });
    assert.equal(await errorOf(fetch("m/unet/x.bin")), "http://HOST/m/unet/x.bin: there is no such file");
    assert.match(
      await errorOf(fetch("x/x.bin")),
      /config\.json: there is no such file, which says what network/,
    );
  });
});

Deno.test("an interrupted download goes on where it stopped, and only the whole model is in the cache", async () => {
  const behaviour: Behaviour = { files: { ...PIPELINE }, breakAfter: 6000 };
  await withCache(behaviour, async (fetch, { cache, base, asked }) => {
    const name = `m/unet/${STEM}.safetensors`;
    const seen: number[] = [];
    const onProgress = (_: string, received: number) => void seen.push(received);
    assert.match(await errorOf(fetch("m", { onProgress })), /the connection broke|ended after 6000 of/);
    assert.equal(await cachedModel(`${base}/m`, { cache }), undefined);
    assert.match(inCache(cache).join(), /\.part$/);
    assert.match(await errorOf(fetch("m")), /call again to go on$/);
    delete behaviour.breakAfter;
    const model = await fetch("m");
    assert.deepEqual(asked.filter(([path]) => path === name).map(([, range]) => range), [
      null,
      "bytes=6000-",
      "bytes=12000-",
    ]);
    assert.deepEqual((await read(model.path)).tensors, { a: 1 });
    assert.deepEqual(inCache(cache).map((each) => each.endsWith(".part")), [false]);
    assert.deepEqual([...Deno.readDirSync(join(model.path, "unet"))].map((each) => each.name).sort(), [
      "config.json",
      `${STEM}.safetensors`,
    ]);
  });
});

Deno.test("a download starts anew if the file has changed meanwhile, or the server cannot resume it", async () => {
  const behaviour: Behaviour = { files: { ...PIPELINE }, breakAfter: 6000 };
  await withCache(behaviour, async (fetch) => {
    await errorOf(fetch("m"));
    behaviour.files[`m/unet/${STEM}.safetensors`] = weightsOf("a", 9, 5000);
    delete behaviour.breakAfter;
    assert.deepEqual((await read((await fetch("m")).path)).tensors, { a: 9 });
  });
  const plain: Behaviour = { files: { ...PIPELINE }, breakAfter: 6000, withoutTag: true };
  await withCache(plain, async (fetch, { cache, asked }) => {
    await errorOf(fetch("m"));
    assert.deepEqual(inCache(cache), [], "nothing that cannot be resumed stays");
    delete plain.breakAfter;
    await fetch("m");
    assert.ok(asked.every(([, range]) => range === null));
  });
});

Deno.test("a digest in the URL is checked, in the cache as well, and other weights do not stay", async () => {
  await withCache({ files: PIPELINE }, async (fetch, { cache, base }) => {
    const wrong = "0".repeat(64);
    assert.equal(
      await errorOf(fetch(`m#sha256=${wrong}`)),
      `http://HOST/m/: its weights have SHA-256 ${sha256(WEIGHTS)}, expected ${wrong}`,
    );
    assert.deepEqual(inCache(cache), []);
    const right = sha256(WEIGHTS);
    const model = await fetch(`m#sha256=${right.toUpperCase()}`);
    assert.deepEqual(await cachedModel(`${base}/m#sha256=${right}`, { cache }), model);
    assert.match(
      await errorOf(cachedModel(`${base}/m#sha256=${wrong}`, { cache })),
      /have SHA-256 .*, expected 0+; if they have changed or are damaged, `deno task fetch --reload` fetches them again$/,
    );
  });
});

Deno.test("weights in the cache that were changed since are refused where the URL has a digest", async () => {
  await withCache({ files: PIPELINE }, async (fetch, { cache, base }) => {
    const url = `m#sha256=${sha256(WEIGHTS)}`;
    const { path } = await fetch(url);
    const weights = join(path, `unet/${STEM}.safetensors`);
    await Deno.writeFile(weights, weightsOf("a", 2, 5000));
    const changed = sha256(await Deno.readFile(weights));
    assert.match(
      await errorOf(cachedModel(`${base}/${url}`, { cache })),
      new RegExp(`have SHA-256 ${changed}, expected .*or are damaged, \`deno task fetch --reload\``),
    );
    await fetch(url, { reload: true });
    assert.ok(await cachedModel(`${base}/${url}`, { cache }));
  });
});

Deno.test("a fetch that was killed at its end is completed by the next one, without the server", async () => {
  const behaviour: Behaviour = { files: { ...PIPELINE } };
  await withCache(behaviour, async (fetch, { cache, base }) => {
    const model = await fetch("m");
    // Killed between the removal of the old model and the move of the new one
    await Deno.rename(model.path, `${model.path}.part`);
    assert.equal(await cachedModel(`${base}/m`, { cache }), undefined);
    behaviour.files = {};
    assert.deepEqual(await fetch("m"), model);
    assert.deepEqual(inCache(cache).map((each) => each.endsWith(".part")), [false]);
  });
});

Deno.test("what an interrupted download left is not taken for weights once the model has others", async () => {
  const single = `m/unet/${STEM}.safetensors`;
  const { [single]: whole, ...others } = PIPELINE;
  const shards = [1, 2].map((shard) => `${STEM}-0000${shard}-of-00002.safetensors`);
  const map = Object.fromEntries(shards.map((shard, i) => [i, shard]));
  const sharded = {
    [`${single}.index.json`]: JSON.stringify({ weight_map: map }),
    ...Object.fromEntries(shards.map((shard) => [`m/unet/${shard}`, weightsOf(shard, 2, 5000)])),
  };
  const behaviour: Behaviour = { files: { ...others, ...sharded }, breakAfter: 6000 };
  await withCache(behaviour, async (fetch) => {
    await errorOf(fetch("m"));
    delete behaviour.breakAfter;
    behaviour.files = { ...others, [single]: whole! };
    const { path } = await fetch("m");
    assert.deepEqual((await read(path)).tensors, { a: 1 });
    const names = [...Deno.readDirSync(join(path, "unet"))].map(({ name }) => name);
    assert.deepEqual(names.sort(), ["config.json", `${STEM}.safetensors`]);
  });
});

Deno.test("a file over the limit is refused, whether or not the server says its size, and nothing stays", async () => {
  for (const more of [{}, { withoutLength: true } as const]) {
    await withCache({ files: PIPELINE, ...more }, async (fetch, { cache }) => {
      assert.match(
        await errorOf(fetch("m", { maxBytes: 10_000 })),
        /safetensors: larger than 10000 bytes, the most that is fetched$/,
      );
      assert.deepEqual(inCache(cache), []);
    });
  }
});

Deno.test("redirections are followed on this machine, but not elsewhere without encryption, nor for ever", async () => {
  const redirects = {
    "moved/config.json": "/m/unet/config.json",
    [`moved/${STEM}.safetensors`]: `/m/unet/${STEM}.safetensors`,
    "out/config.json": "http://example.org/config.json",
    "disk/config.json": "file:///etc/passwd",
    "loop/config.json": "/loop/config.json",
  };
  await withCache({ files: PIPELINE, redirects }, async (fetch, { cache }) => {
    assert.deepEqual((await read((await fetch("moved")).path)).tensors, { a: 1 });
    assert.match(
      await errorOf(fetch("out")),
      /out\/config\.json: refused to follow a redirection to "http:\/\/example\.org\/config\.json"$/,
    );
    assert.match(await errorOf(fetch("disk")), /refused to follow a redirection to "file:/);
    assert.match(await errorOf(fetch("loop")), /more than 5 redirections$/);
    assert.equal(inCache(cache).length, 1);
  });
});

Deno.test("an index that lists paths is refused, and so is what is no model", async () => {
  const files = {
    "bad/config.json": "{}",
    [`bad/${STEM}.safetensors.index.json`]: '{"weight_map":{"a":"../../../escaped.safetensors"}}',
    "list/config.json": "{}",
    [`list/${STEM}.safetensors.index.json`]: '{"weight_map":{"a":"missing.safetensors"}}',
  };
  await withCache({ files }, async (fetch, { cache }) => {
    assert.match(
      await errorOf(fetch("bad")),
      /lists "\.\.\/\.\.\/\.\.\/escaped\.safetensors", expected names of weight files$/,
    );
    assert.match(
      await errorOf(fetch("list")),
      /missing\.safetensors: there is no such file, which .* lists$/,
    );
    assert.match(
      await errorOf(fetch("none")),
      /no model there: neither unet\/config\.json nor config\.json$/,
    );
    assert.deepEqual(inCache(cache), []);
  });
});

Deno.test("a server that sends nothing more is given up on", async () => {
  const behaviour: Behaviour = { files: PIPELINE };
  await withCache(behaviour, async (fetch) => {
    const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    behaviour.redirects = { "m/unet/config.json": `http://127.0.0.1:${silent.addr.port}/` };
    assert.match(await errorOf(fetch("m", { patience: 100 })), /no data for 0\.1 seconds|cannot be fetched/);
    silent.close();
  });
});

Deno.test("an error page or a Git LFS pointer in place of a file is refused by its URL, and nothing stays", async () => {
  const page = "<!doctype html><html>log in</html>";
  const cases = [["m/unet/config.json", page], [`m/unet/${STEM}.safetensors`, page]];
  cases.push([`m/unet/${STEM}.safetensors`, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"]);
  for (const [path, content] of cases) {
    await withCache({ files: { ...PIPELINE, [path]: content } }, async (fetch, { cache }) => {
      const message = await errorOf(fetch("m"));
      assert.ok(message.startsWith(`http://HOST/${path}: `), message);
      assert.match(message, /(an HTML page|a Git LFS pointer), not the file/);
      assert.deepEqual(inCache(cache), []);
    });
  }
});
