/** The package's command line, `cli.ts`. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { COMMANDS, programWords } from "../../tasks/commands.ts";
import { projectFile, tryPublishing } from "../support/package.ts";

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", "cli.ts", ...args],
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
    env: { NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}

Deno.test("help lists every command, each a task of deno.json; without a command it is shown, too, and the exit code is 2", async () => {
  const help = await run("--help");
  assert.deepEqual([help.code, help.err], [0, ""]);
  assert.match(help.out, /^Usage: deno run -A cli\.ts COMMAND \[options\]$/m);
  for (const name of Object.keys(COMMANDS)) {
    const { description } = (project.tasks as Record<string, { description: string }>)[name];
    assert.ok(help.out.includes(`  ${name.padEnd(16)}  ${description}\n`), name);
  }
  const bare = await run();
  assert.deepEqual([bare.code, bare.out], [2, help.out]);
  assert.deepEqual(await run("--version"), { code: 0, out: `${project.version}\n`, err: "" });
});

Deno.test("an unknown command is refused with the most similar one", async () => {
  const { code, out, err } = await run("smaple", "--count", "2");
  assert.deepEqual([code, out], [2, ""]);
  assert.match(
    err,
    /^error: unknown command 'smaple'; allowed: init, train, sample, .* \(did you mean sample\?\)\n$/,
  );
  assert.equal((await run("constructor")).code, 2);
});

Deno.test("a command's help and errors name what was typed, and its exit code is the task's", async () => {
  const help = await run("edit", "--help");
  assert.equal(help.code, 0);
  assert.match(help.out, /^Usage: deno run -A cli\.ts edit \[options\]$/m);
  assert.match(help.out, /^Image to image: deno run -A cli\.ts edit --image cat\.png/m);
  const missing = await run("train", "--resume", "nowhere", "--steps", "x");
  assert.deepEqual([missing.code, missing.out], [2, ""]);
  assert.match(missing.err, /--steps/);
  const none = await run("report", "nowhere");
  assert.equal(none.code, 1);
  assert.match(
    none.err,
    /^error: nowhere: does not exist; expected the directory of a run of `deno run -A cli\.ts train`/,
  );
});

Deno.test("the program is named as one types it: the package by its specifier, a script by its path", () => {
  const last = (mainModule: string) =>
    programWords(mainModule, fileURLToPath(new URL("../../tests", import.meta.url))).at(-1);
  assert.equal(last("jsr:@denoise/ddpm@^0.1.0/cli"), "jsr:@denoise/ddpm@^0.1.0/cli");
  assert.equal(last("https://jsr.io/@denoise/ddpm/0.1.0/cli.ts"), "jsr:@denoise/ddpm/cli");
  assert.equal(last(new URL("../../cli.ts", import.meta.url).href), "../cli.ts");
});

Deno.test("no published module names a command but by commandLine()", async () => {
  const { files } = await tryPublishing();
  const found: string[] = [];
  for (const path of files.filter((path) => path.endsWith(".ts") && path !== "kernels/sources.ts")) {
    const text = new TextDecoder().decode(await projectFile(path));
    const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*|\/\/ .*$/gm, "");
    if (/deno task|"task",|deno run/.test(code)) found.push(path);
  }
  assert.deepEqual(found, []);
});
