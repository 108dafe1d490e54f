/**
 * The package as a user gets it: from a registry, in an empty project with an empty cache of modules. It trains and draws, and so does
 * its command line, in which only the files of the package are there to be read.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { SHIPPED_FILES } from "../../lib/remote/shipped_files.ts";
import { makeMaterial, type Outcome, TRAINING } from "../support/command.ts";
import { blocksOf } from "../support/documents.ts";
import { type Registry, serveRegistry } from "../support/jsr.ts";
import { withModelServer } from "../support/model_server.ts";
import { watch } from "../support/server/process.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const CLI = "jsr:@denoise/ddpm/cli";

/** Changes to the program of docs/package.md that make it quick. */
const CHANGES: readonly (readonly [string, string])[] = [
  ["jsr:@denoise/ddpm", `jsr:@denoise/ddpm@${project.version}`],
  ["train }", "train, unetConfig }"],
  [
    '"photos"), ',
    `"images"), steps: 10, batch: 4, sampleEvery: 0, model: unetConfig({
      sampleSize: 32,
      blockOutChannels: [4, 8, 8],
      downBlockTypes: ["DownBlock2D", "DownBlock2D", "DownBlock2D"],
      upBlockTypes: ["UpBlock2D", "UpBlock2D", "UpBlock2D"],
      layersPerBlock: 1,
      normNumGroups: 2,
    }), `,
  ],
  ["console.log(event.epoch,", "console.log(event.step, event.epoch,"],
  ["count: 16", "count: 1, steps: 3"],
];

/** An empty project, and Deno with a cache of its own in which there are npm packages only. */
interface EmptyProject {
  readonly directory: string;
  readonly registry: Registry;
  /** Environment of its processes. */
  readonly env: Record<string, string>;
  command(...args: string[]): Deno.Command;
  run(...args: string[]): Promise<Outcome>;
}

async function inEmptyProject(body: (project: EmptyProject) => Promise<void>): Promise<void> {
  await using registry = await serveRegistry();
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout));
  await inTemporaryDirectory(async (root) => {
    const [directory, cache] = [join(root, "project"), join(root, "cache")];
    for (const path of [directory, cache]) await Deno.mkdir(path);
    await Deno.symlink(npmCache, join(cache, "npm"), { type: "dir" });
    const env: Record<string, string> = {
      DENO_DIR: cache,
      JSR_URL: registry.url,
      NO_COLOR: "1",
      NO_PROXY: "127.0.0.1",
    };
    const command = (...args: string[]) =>
      new Deno.Command(Deno.execPath(), { args, cwd: directory, env, stdout: "piped", stderr: "piped" });
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await command(...args).output();
      const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
      return { code, out, err };
    };
    await makeMaterial(directory);
    await body({ directory, registry, env, command, run });
    // all modules come from the package: none was missing, and none is one of this folder
    assert.deepEqual(registry.missing, []);
    assert.ok(registry.requests.length > 100);
  });
}

function succeeded({ code, out, err }: Outcome): string {
  assert.equal(code, 0, `${out}\n${err}`);
  return out;
}

Deno.test("the published library has types, trains ten steps and draws", async () => {
  await inEmptyProject(async ({ directory, run }) => {
    const [program] = (await blocksOf("docs/package.md")).filter(({ info }) => info === "ignore jsr");
    const quick = CHANGES.reduce((code, [from, to]) => {
      assert.ok(code.includes(from), from);
      return code.replace(from, to);
    }, program.code);
    await Deno.writeTextFile(join(directory, "main.ts"), quick);
    succeeded(await run("check", "--quiet", "main.ts"));
    const out = succeeded(await run("run", "--quiet", "-A", "main.ts"));
    assert.match(out, /^10 2 \d\.\d+$/m);
    assert.ok((await Deno.stat(join(directory, "grid.png"))).size > 100);
  });
});

Deno.test("the published command line trains, draws and serves", async () => {
  await inEmptyProject(async ({ directory, command, run, registry }) => {
    const cli = (...args: string[]) => ["run", "--quiet", "-A", CLI, ...args];
    const help = succeeded(await run(...cli("--help")));
    assert.match(help, /^Usage: deno run -A jsr:@denoise\/ddpm\/cli COMMAND \[options\]$/m);
    const trained = succeeded(await run(...cli("train", ...TRAINING, "--steps", "10", "--out", "run")));
    assert.match(
      trained,
      /^draw images: deno run -A jsr:@denoise\/ddpm\/cli sample --model run --class dark$/m,
    );
    assert.doesNotMatch(trained, /warning: (?!to keep within)/);
    for (const name of ["loss.png", "reverse.gif", "report.html", "data.png"]) {
      assert.ok((await Deno.stat(join(directory, "run", name))).size > 100, name);
    }
    const drawn = succeeded(await run(...cli("sample", "--model", "run", "--steps", "2", "--count", "1")));
    assert.match(drawn, /^2 images in samples\.png$/m);

    const server = watch(command(...cli("serve", "--model", "run", "--port", "0", "--tune", "off")).spawn());
    try {
      const { url } = await server.logged("ready") as { url: string };
      const image = await fetch(`${url}/generate?class=dark&steps=2`);
      assert.deepEqual([image.status, image.headers.get("Content-Type")], [200, "image/png"]);
      await image.body?.cancel();
      const page = await (await fetch(url)).text();
      assert.match(page, /<!doctype html>/i);
      assert.ok(registry.requests.some((path) => path.endsWith("server/main.ts")));
    } finally {
      server.child.kill("SIGTERM");
      const { code, err } = await server.ended();
      assert.equal(code, 0, err);
    }
  });
});

Deno.test("the published command line draws with the project's model from where a variable says", async () => {
  const root = fileURLToPath(new URL("../../checkpoints", import.meta.url));
  const files = Object.fromEntries(
    Object.keys(SHIPPED_FILES["cifar10-tiny"]).map((file) =>
      [`cifar10-tiny/${file}`, Deno.readFileSync(join(root, "cifar10-tiny", file))] as const
    ),
  );
  await withModelServer({ files }, (base, asked) =>
    inEmptyProject(async ({ run, env }) => {
      const draw = ["run", "--quiet", "-A", CLI, "sample", "--model", "cifar10-tiny"];
      const quick = ["--class", "cat", "--count", "1", "--steps", "1"];
      const none = await run(...draw);
      assert.equal(none.code, 1);
      assert.match(
        none.err,
        /^error: cifar10-tiny is a model of the project .*; set DENOISE_MODELS to a directory or URL /,
      );
      env.DENOISE_MODELS = base;
      const fetched = succeeded(await run(...draw, ...quick));
      assert.match(fetched, /^model \.cache\/models\/127\.0\.0\.1-cifar10-tiny-\w+ on /m);
      const requests = asked.length;
      succeeded(await run(...draw, ...quick));
      assert.equal(asked.length, requests);
      env.DENOISE_MODELS = root;
      // no run and no --model: the best of the project's own
      assert.ok(
        succeeded(await run(...draw.slice(0, -2), ...quick)).includes(`model ${join(root, "cifar10")} on `),
      );
    }));
});
