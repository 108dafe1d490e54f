import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

/** Exit code that comes back from a process, and what is reported of it. */
async function supervise(code: string): Promise<[number, string]> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      fileURLToPath(new URL("../support/supervise.ts", import.meta.url)),
      code,
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return [Number(decode(stdout)), decode(stderr)];
}

Deno.test({
  name: "an end by a signal that nobody sent on is reported, with the exit code that a shell would give",
  ignore: Deno.build.os === "windows",
  async fn() {
    const by = (signal: string) =>
      supervise(`Deno.kill(Deno.pid, "${signal}"); setTimeout(() => {}, 60_000)`);
    assert.deepEqual(await supervise("Deno.exit(3)"), [3, ""]);
    assert.deepEqual(await by("SIGTERM"), [143, ""]);
    assert.deepEqual(await supervise('import process from "node:process"; process.abort();'), [
      134,
      "error: the process on Dawn crashed (SIGABRT); if this happens again, use --backend deno\n",
    ]);
    assert.deepEqual(await by("SIGKILL"), [137, "error: the process on Dawn was ended by SIGKILL\n"]);
  },
});
