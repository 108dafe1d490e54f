/** The project's own models, looked for as outside a clone. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fetchModel } from "../../lib/remote/fetch_model.ts";
import { SHIPPED_FILES } from "../../lib/remote/shipped_files.ts";
import {
  checkShippedModel,
  findShippedModel,
  namesShippedModel,
  ownModel,
  shippedModel,
  type ShippedName,
} from "../../lib/remote/shipped_models.ts";
import { withEnvironment } from "../support/environment.ts";
import { withModelServer } from "../support/model_server.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const CHECKPOINTS = fileURLToPath(new URL("../../checkpoints", import.meta.url));
/** Small ones, of both layouts. */
const NAMES = ["cifar10-tiny", "classifier"] as const;

const nowhere = () => Promise.resolve(undefined);

/** Finds a model by the environment variable. */
function findAt(place: string | undefined, name: ShippedName) {
  return withEnvironment({ DENOISE_MODELS: place }, () => findShippedModel(name, nowhere));
}

Deno.test("a clone has its models, whatever the variable says", async () => {
  await withEnvironment({ DENOISE_MODELS: "/nowhere" }, async () => {
    for (const name of Object.keys(SHIPPED_FILES) as ShippedName[]) {
      assert.equal(await ownModel(name), join(CHECKPOINTS, name));
      assert.equal(await shippedModel(name), join(CHECKPOINTS, name));
    }
  });
});

Deno.test("only names of models that draw are names, where there is no such path", async () => {
  assert.equal(await namesShippedModel("cifar10"), true);
  for (const text of ["classifier", "CIFAR10", "./cifar10", "constructor"]) {
    assert.equal(await namesShippedModel(text), false, text);
  }
  await inTemporaryDirectory(async (directory) => {
    const before = Deno.cwd();
    Deno.chdir(directory);
    try {
      await Deno.mkdir("cifar10");
      assert.equal(await namesShippedModel("cifar10"), false);
    } finally {
      Deno.chdir(before);
    }
  });
});

Deno.test("without the variable the error says what to set; a place that is not allowed is named by it", async () => {
  for (const place of [undefined, ""]) {
    await assert.rejects(
      findAt(place, "cifar10"),
      /^CheckpointError: cifar10 is a model of the project .*; set DENOISE_MODELS to a directory or URL with the folder cifar10,/,
    );
  }
  for (const place of ["http://example.org/models", "https://example.org/models?x=1"]) {
    await assert.rejects(
      findAt(place, "cifar10"),
      /^ConfigError: DENOISE_MODELS: expected a directory, or a URL/,
    );
  }
});

Deno.test("a directory's files are those that the package knows, to the bit", async () => {
  for (const name of NAMES) {
    assert.deepEqual(await findAt(CHECKPOINTS, name), { directory: join(CHECKPOINTS, name) });
  }
  await assert.rejects(
    findAt("/nowhere", "cifar10-tiny"),
    /^CheckpointError: \/nowhere\/cifar10-tiny\/model_index\.json: .*No such file/,
  );
  await inTemporaryDirectory(async (directory) => {
    await copyModel("cifar10-tiny", directory);
    const config = join(directory, "cifar10-tiny/unet/config.json");
    await Deno.writeTextFile(config, (await Deno.readTextFile(config)).replace("1e-6", "1e-5") + "\n");
    await assert.rejects(
      findAt(directory, "cifar10-tiny"),
      /cifar10-tiny\/unet\/config\.json: is not that of the project's cifar10-tiny: it has SHA-256 \w{64}, expected 42c1507e/,
    );
  });
});

Deno.test("of a URL, models of both layouts are fetched once, checked, and found in the cache", async () => {
  const files = Object.fromEntries(
    NAMES.flatMap((name) =>
      Object.keys(SHIPPED_FILES[name]).map((
        file,
      ) => [`models/${name}/${file}`, Deno.readFileSync(join(CHECKPOINTS, name, file))])
    ),
  );
  await inTemporaryDirectory((cache) =>
    withModelServer({ files }, async (base, asked) => {
      for (const name of NAMES) {
        const place = await findAt(`${base}/models`, name);
        assert.ok("url" in place);
        const { path } = await fetchModel(place.url, { cache });
        await checkShippedModel(name, path);
        const requests = asked.length;
        assert.equal((await fetchModel(place.url, { cache })).path, path);
        assert.equal(asked.length, requests);
      }
    })
  );
});

Deno.test("weights of another digest are refused, and not kept", async () => {
  const weights = "models/classifier/model.safetensors";
  const files = { [weights]: "damaged", "models/classifier/config.json": "{}" };
  await inTemporaryDirectory((cache) =>
    withModelServer({ files }, async (base) => {
      const place = await findAt(`${base}/models`, "classifier");
      assert.ok("url" in place);
      await assert.rejects(fetchModel(place.url, { cache }), /have SHA-256 \w+, expected 32e77aa1/);
    })
  );
});

async function copyModel(name: ShippedName, to: string): Promise<void> {
  for (const file of Object.keys(SHIPPED_FILES[name])) {
    const target = join(to, name, file);
    await Deno.mkdir(join(target, ".."), { recursive: true });
    await Deno.copyFile(join(CHECKPOINTS, name, file), target);
  }
}
