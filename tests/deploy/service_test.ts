/** `deploy/denoise.service` and `deploy/Containerfile`: what they start, and that systemd takes the unit. */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import project from "../../deno.json" with { type: "json" };
import { defaultSettings } from "../../server/settings.ts";
import { readServeFlags } from "../../tasks/serve_flags.ts";
import { DEPLOY, freePorts } from "../support/deploy/nginx.ts";
import { ROOT } from "../support/documents.ts";
import { MODEL, watch } from "../support/server/process.ts";
import { findTool, leaveOut, runTool, testsWith } from "../support/tools.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const unit = await Deno.readTextFile(join(DEPLOY, "denoise.service"));
const containerfile = await Deno.readTextFile(join(DEPLOY, "Containerfile"));

/** Seconds after --grace in which the server sends its last answers and writes its last lines. */
const LAST_SECONDS = 5;

/** Value of a setting of the unit, its lines joined. */
function settingOf(name: string): string {
  return new RegExp(`^${name}=((?:.*\\\\\n)*.*)`, "m").exec(unit)![1].replace(/\\\n\s*/g, "");
}

/** Arguments of an instruction of the Containerfile; indented: of HEALTHCHECK's. */
function argumentsOf(instruction: "ENTRYPOINT" | "CMD" | "  CMD"): string[] {
  return JSON.parse(new RegExp(`^${instruction} (\\[.*\\])$`, "m").exec(containerfile)![1]);
}

/** Arguments of Deno that are not its permissions, and the permissions. */
function startOf(words: readonly string[]) {
  const [deno, run, ...rest] = words;
  assert.deepEqual([deno, run], ["deno", "run"]);
  const script = rest.findIndex((word) => word.endsWith("/tasks/serve.ts"));
  const flags = rest.slice(0, script);
  return {
    permissions: flags.filter((flag) => flag.startsWith("--allow-")),
    config: flags.find((flag) => flag.startsWith("--config=")),
    script: rest[script],
    args: rest.slice(script + 1),
  };
}

const taskPermissions = project.tasks.serve.command.split(" ").filter((word) => word.startsWith("--allow-"));

Deno.test("the service starts the server as deno task serve does, with flags that it knows", () => {
  const { permissions, config, script, args } = startOf(settingOf("ExecStart").split(" "));
  assert.deepEqual(permissions, taskPermissions);
  assert.deepEqual([config, script], ["--config=/opt/denoise/deno.json", "/opt/denoise/tasks/serve.ts"]);
  const { jobs, trustedProxy, publicUrl, host, port } = readServeFlags(args);
  assert.ok(jobs!.startsWith(`/var/lib/${settingOf("StateDirectory")}/`));
  assert.deepEqual([trustedProxy, publicUrl, host, port], [
    ["127.0.0.1"],
    "https://images.example.org/",
    "127.0.0.1",
    8000,
  ]);
});

Deno.test("service and container wait for the images that are being drawn", () => {
  assert.ok(Number(settingOf("TimeoutStopSec")) > defaultSettings.grace + LAST_SECONDS);
  const [, seconds] = /--stop-timeout (\d+)/.exec(containerfile)!;
  assert.ok(Number(seconds) > defaultSettings.grace + LAST_SECONDS);
});

// not in containers, nor where another program starts services
const systemdTest = findTool("systemd-analyze")
  ? testsWith(["systemd-analyze"])
  : leaveOut<"systemd-analyze">("the check of deploy/denoise.service, as systemd-analyze is not here");

systemdTest("systemd takes the unit, and finds it well protected", async (tools) => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "denoise.service");
    const here = unit.replace("ExecStart=deno ", `ExecStart=${Deno.execPath()} `);
    await Deno.writeTextFile(file, here);
    const verify = () => runTool(tools["systemd-analyze"], ["verify", file]);
    assert.deepEqual(await verify(), { code: 0, out: "", err: "" });
    const rated = await runTool(tools["systemd-analyze"], [
      ...["security", "--offline=true", "--no-pager", "--threshold=25", file],
    ]);
    assert.equal(rated.code, 0, rated.out);
    await Deno.writeTextFile(file, here.replace("PrivateTmp", "PrivateTemp"));
    assert.match((await verify()).err, /PrivateTemp/);
  });
});

Deno.test("what the container holds is enough to serve, and its health check tells", async () => {
  const { permissions, config, args } = startOf(argumentsOf("ENTRYPOINT"));
  assert.deepEqual([permissions, config], [taskPermissions, "--config=/opt/denoise/deno.json"]);
  assert.ok(readServeFlags([...args, ...argumentsOf("CMD")]).jobs);
  const [, version] = /denoland\/deno:bin-(\S+)/.exec(containerfile)!;
  assert.match(version, /^2\.9\.\d+$/);

  await inTemporaryDirectory(async (directory) => {
    const root = join(directory, "opt");
    for (const [, paths] of containerfile.matchAll(/^COPY (?!--from)(.*)$/gm)) {
      const words = paths.split(" ");
      const target = words.pop()!;
      for (const path of words) {
        if (path.startsWith("checkpoints")) continue; // the test has a smaller model
        await cp(join(ROOT, path), join(root, target === "./" ? path : target), { recursive: true });
      }
    }
    const cached = /RUN deno cache ((?:\S+ )+)&&/.exec(containerfile)![1].trim().split(" ");
    for (const pattern of cached) assert.ok(globSync(pattern, { cwd: root }).length > 0, pattern);
    const [port] = freePorts(1);
    const start = argumentsOf("ENTRYPOINT").slice(1).map((word) => word.replace("/opt/denoise", root));
    const server = watch(
      new Deno.Command(Deno.execPath(), {
        args: [...start, "--port", String(port), "--model", MODEL, "--jobs", join(directory, "jobs.db")],
        cwd: directory,
        stdout: "piped",
        stderr: "piped",
      }).spawn(),
    );
    const [, ...check] = argumentsOf("  CMD");
    const healthy = () => runTool(Deno.execPath(), check.map((word) => word.replace("8000", String(port))));
    try {
      await server.logged("ready");
      assert.equal((await healthy()).code, 0);
    } finally {
      server.child.kill("SIGTERM");
      assert.equal((await server.ended()).code, 0);
    }
    assert.notEqual((await healthy()).code, 0);
  }, { onDisk: true });
});
