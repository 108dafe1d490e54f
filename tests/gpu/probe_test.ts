import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, DeviceError } from "../../lib/errors.ts";
import { loadError } from "../../lib/gpu/dawn/error.ts";
import { binaryName, dawnBinary, probeDawn } from "../../lib/gpu/dawn/probe.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("every system that Deno runs on has a binary, and others are told", () => {
  for (const os of ["linux", "darwin", "windows"]) {
    for (const arch of ["x86_64", "aarch64"]) {
      assert.match(binaryName({ os, arch }), /^dist\/[\w-]+\/dawn\.node$/);
    }
  }
  assert.throws(
    () => binaryName({ os: "freebsd", arch: "x86_64" }),
    new DeviceError("Dawn 0.6.2 has no binary for freebsd on x86_64; without it, use the backend deno"),
  );
});

Deno.test("a trial opens a device with permission for the binary alone", async () => {
  const binary = await dawnBinary();
  assert.ok(existsSync(binary));
  await probeDawn(binary, ["skip_validation"]);
});

const failures: [what: string, program: string, why: string][] = [
  [
    "crashes",
    'import process from "node:process"; process.abort();',
    "crashed (SIGABRT)",
  ],
  ["does not return", "setTimeout(() => {}, 60_000);", "did not open a device within 1 s"],
  ["says why", 'console.log("hello\\ntrial of dawn: failed: no luck");', "failed: no luck"],
  ["ends without a word", "Deno.exit(0);", "ended with exit code 0: no device was opened"],
  [
    "throws",
    'throw new Error("out of luck");',
    "ended with exit code 1: Uncaught (in promise) Error: out of luck",
  ],
];

for (const [what, text, why] of failures) {
  Deno.test(`a trial that ${what} is an error with the way back`, async () => {
    await inTemporaryDirectory(async (directory) => {
      const program = join(directory, "program.ts");
      await Deno.writeTextFile(program, text);
      const message = `the backend dawn does not work here: in a trial it ${why}`;
      await assert.rejects(
        probeDawn("/nowhere/dawn.node", [], {
          program,
          ...what === "does not return" ? { limit: 1000 } : {},
        }),
        (error) =>
          error instanceof DeviceError && error.message.startsWith(message) &&
          error.message.endsWith("; without it, use the backend deno"),
        message,
      );
    });
  });
}

Deno.test("a trial passes whatever the libraries that it loads print", async () => {
  await inTemporaryDirectory(async (directory) => {
    const program = join(directory, "program.ts");
    const main = new URL("../../lib/gpu/dawn/probe_main.ts", import.meta.url).href;
    await Deno.writeTextFile(
      program,
      `console.log("hello from a driver");
      Deno.stdout.writeSync(new TextEncoder().encode("a line begun"));
      globalThis.addEventListener("unload", () => console.log("bye"));
      await import("${main}");`,
    );
    await probeDawn(await dawnBinary(), [], { program });
  });
});

const FOLDER = "/a cache/npm/registry/webgpu/0.6.2";
const BROKEN =
  `; if the package is damaged, delete ${FOLDER}, and it is downloaded again; without it, use the backend deno`;

for (
  const message of [
    `[ERR_INVALID_PACKAGE_CONFIG] Invalid package config. Malformed package.json '${FOLDER}/package.json'.`,
    `[ERR_MODULE_NOT_FOUND] Cannot find module 'file://${FOLDER}/index.js' imported from 'file:///home'`,
    `Unexpected end of input at file://${FOLDER}/index.js:2:1`,
    `Cannot find module '${FOLDER}/dist/linux-x64/dawn.node'`,
    `${FOLDER}/dist/linux-x64/dawn.node: file too short`,
  ]
) {
  Deno.test(`damage to the package is an error that says how to mend it: ${message}`, () => {
    assert.equal(
      loadError(new Error(`${message}\n    at somewhere`)).message,
      `the backend dawn cannot be loaded: npm:webgpu@0.6.2: ${message.replace(/\.$/, "")}${BROKEN}`,
    );
  });
}

Deno.test("a trial that ends early may be for a damaged package, one that fails with a reason is for that", async () => {
  await inTemporaryDirectory(async (directory) => {
    const program = join(directory, "program.ts");
    const probed = async (text: string) => {
      await Deno.writeTextFile(program, text);
      return await probeDawn(`${FOLDER}/dist/linux-x64/dawn.node`, [], { program })
        .then(() => "", (error: Error) => error.message);
    };
    const fault = "the backend dawn does not work here: in a trial it";
    const abort = 'import process from "node:process"; process.abort();';
    assert.equal(await probed(abort), `${fault} crashed (SIGABRT)${BROKEN}`);
    assert.equal(
      await probed("Deno.exit(3);"),
      `${fault} ended with exit code 3: no device was opened${BROKEN}`,
    );
    assert.equal(
      await probed('console.log("trial of dawn: failed: no luck");'),
      `${fault} failed: no luck; without it, use the backend deno`,
    );
  });
});

Deno.test("a path with a comma, which permissions cannot have, is refused by what it comes from", async () => {
  const binary = "/a,b/npm/webgpu/0.6.2/dist/linux-x64/dawn.node";
  await assert.rejects(probeDawn(binary, []), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /^DENO_DIR: expected a path without a comma, .*, got "\/a,b\//);
    return true;
  });
  const denied = new Deno.errors.NotCapable(
    `Requires ffi access to "${binary}", run again with the --allow-ffi flag`,
  );
  assert.match(loadError(denied).message, /loads only with --allow-ffi; without it/);
});

const blocks: [what: string, ignore: boolean, code: string][] = [
  ["waits", false, "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);"],
  // Opening a pipe that nobody writes to, as a library's constructor that never returns.
  ["is being loaded", Deno.build.os === "windows", "Deno.dlopen(Deno.args[0], {});"],
];
for (const [what, ignore, code] of blocks) {
  Deno.test({
    name: `a trial in which native code ${what} ends with the pipe of the process that started it`,
    ignore,
    fn: () =>
      inTemporaryDirectory(async (directory) => {
        const [program, library] = [join(directory, "program.ts"), join(directory, "library.node")];
        if (code.includes("dlopen")) await new Deno.Command("mkfifo", { args: [library] }).output();
        const orphan = new URL("../../lib/gpu/dawn/orphan.ts", import.meta.url).href;
        await Deno.writeTextFile(
          program,
          `import { endWithParent } from "${orphan}";
          endWithParent();
          console.log("blocked");
          ${code}`,
        );
        const child = new Deno.Command(Deno.execPath(), {
          args: [
            "run",
            "--no-prompt",
            "--no-config",
            "--no-lock",
            `--allow-ffi=${library}`,
            program,
            library,
          ],
          stdin: "piped",
          stdout: "piped",
        }).spawn();
        const late = setTimeout(() => child.kill("SIGTERM"), 30_000);
        const output = child.stdout.getReader();
        assert.equal(new TextDecoder().decode((await output.read()).value), "blocked\n");
        await child.stdin.close();
        const { success, signal } = await child.status;
        clearTimeout(late);
        assert.equal(success, false);
        if (Deno.build.os !== "windows") assert.equal(signal, "SIGKILL");
        await output.cancel();
      }),
  });
}
