import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPipeline } from "../../lib/files/checkpoint.ts";
import { shellQuote } from "../../lib/shell.ts";
import { MODEL_CACHE } from "../../lib/remote/fetch_model.ts";
import { modelFromUrl } from "../../tasks/remote_model.ts";
import { denoArguments, runTask } from "../support/command.ts";
import { withModelServer } from "../support/model_server.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const MODEL = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));
const WEIGHTS = "unet/diffusion_pytorch_model.safetensors";
const NAMES = ["model_index.json", "scheduler/scheduler_config.json", "unet/config.json", WEIGHTS];
const files = Object.fromEntries(NAMES.map((name) => [`m/${name}`, Deno.readFileSync(join(MODEL, name))]));
const DIGEST = createHash("sha256").update(files[`m/${WEIGHTS}`]).digest("hex");

Deno.test("a fetched model is exported from the cache, by a task without a network", async () => {
  await inTemporaryDirectory((directory) =>
    withModelServer({ files }, async (base, asked) => {
      const url = `${base}/m/#sha256=${DIGEST}`;
      const early = await runTask("export", ["--model", url, "--out", "mine"], directory);
      assert.deepEqual([early.code, early.out], [1, ""]);
      assert.ok(
        early.err.endsWith(
          `is not in ${MODEL_CACHE}; fetch it first: deno task fetch --model ${shellQuote(url)}\n`,
        ),
        early.err,
      );

      const fetched = await runTask("fetch", ["--model", url], directory);
      assert.deepEqual([fetched.code, fetched.err], [0, ""]);
      assert.match(
        fetched.out,
        new RegExp(
          `\\n?\\.cache/models/127\\.0\\.0\\.1-m-[0-9a-f]{12}: 0\\.\\d MB, SHA-256 of the weights ${DIGEST}\\n$`,
        ),
      );
      const requests = asked.length;
      const { code, err } = await runTask("export", [
        "--model",
        url,
        "--out",
        "mine",
        "--precision",
        "float32",
      ], directory);
      assert.deepEqual([code, err, asked.length], [0, "", requests]);
      const quiet = { onWarning: () => {} };
      const [before, after] = [
        await loadPipeline(MODEL, quiet),
        await loadPipeline(join(directory, "mine"), quiet),
      ];
      assert.deepEqual(after.tensors, before.tensors);
    })
  );
});

Deno.test("a fetch that fails says why, and leaves nothing", async () => {
  await inTemporaryDirectory((directory) =>
    withModelServer({ files }, async (base) => {
      const cases: [string[], number, RegExp][] = [
        [
          ["--model", "http://example.org/m"],
          2,
          /^error: --model: expected a URL that starts with https:\/\/, .*, got "http:/,
        ],
        [["--model", "runs/a"], 2, /^error: --model: expected a URL such as /],
        [["--model", `${base}/none`], 1, /^error: http:\S+\/none\/: no model there/],
        [["--model", `${base}/m/#sha256=${"0".repeat(64)}`], 1, /have SHA-256 \w+, expected 0+\n$/],
        [
          ["--model", `${base}/m/`, "--variant", "fp16"],
          1,
          /no weights there: none of diffusion_pytorch_model\.fp16/,
        ],
        [[], 2, /required option '--model <URL>'/],
      ];
      for (const [flags, status, message] of cases) {
        const { code, err } = await runTask("fetch", flags, directory);
        assert.match(err, message);
        assert.equal(code, status);
      }
      const models = join(directory, MODEL_CACHE);
      assert.deepEqual([...Deno.readDirSync(models)].map(({ name }) => name), [".lock"]);
    })
  );
});

Deno.test("a task that may start programs fetches a model that is not in the cache", async () => {
  await inTemporaryDirectory((directory) =>
    withModelServer({ files }, async (base) => {
      // As sample and serve do: with permission to run programs, without one for the network.
      const [run, ...rest] = denoArguments("sample", []);
      const permissions = rest.filter((arg) => arg.startsWith("--allow-"));
      assert.ok(permissions.every((flag) => !flag.startsWith("--allow-net")), permissions.join());
      const script = new URL("../support/model_from_url.ts", import.meta.url);
      const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [
          run,
          "--no-prompt",
          "--no-check",
          ...permissions,
          `--config=${config}`,
          script.href,
          `${base}/m`,
        ],
        cwd: directory,
        env: { NO_COLOR: "1" },
      }).output();
      const lines = new TextDecoder().decode(stdout).trim().split("\n");
      assert.match(
        lines.at(-1)!,
        /^\.cache\/models\/127\.0\.0\.1-m-[0-9a-f]{12}$/,
        new TextDecoder().decode(stderr),
      );
      assert.match(lines.at(-2)!, new RegExp(`SHA-256 of the weights ${DIGEST}$`));
    })
  );
});

Deno.test("a URL that is not allowed is refused before a program is started", async () => {
  await assert.rejects(
    modelFromUrl("http://example.org/m"),
    /^ConfigError: model: expected a URL that starts with https/,
  );
});

Deno.test("guiding and initial models are named by URLs, too", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const [task, flag] of [["sample", "--guide"], ["train", "--init"]] as const) {
      const { code, err } = await runTask(task, [flag, "http://example.org/m"], directory);
      assert.match(err, /^error: .*expected a URL that starts with https:\/\/, /, `${task} ${flag}`);
      assert.equal(code, 2);
    }
  });
});
