import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DeviceError } from "../../lib/errors.ts";
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
    "crashed (SIGABRT) when it opened a device",
  ],
  ["does not return", "setTimeout(() => {}, 60_000);", "did not open a device within 1 s"],
  ["says why", 'console.log("failed: no luck");', "failed: no luck"],
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

Deno.test("a trial that native code blocks ends with the pipe of the process that started it", async () => {
  await inTemporaryDirectory(async (directory) => {
    const program = join(directory, "program.ts");
    const orphan = new URL("../../lib/gpu/dawn/orphan.ts", import.meta.url).href;
    await Deno.writeTextFile(
      program,
      `import { endWithParent } from "${orphan}";
      endWithParent();
      console.log("blocked");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);`,
    );
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-config", "--no-lock", "--allow-ffi=/nowhere/dawn.node", program],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const output = child.stdout.getReader();
    assert.equal(new TextDecoder().decode((await output.read()).value), "blocked\n");
    await child.stdin.close();
    assert.equal((await child.status).success, false);
    await output.cancel();
  });
});
