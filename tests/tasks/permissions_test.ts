/** Permissions of the tasks in `deno.json`, and that they work with no more: all tests that run a task run it with that. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { nativeArguments } from "../../terminal/backend.ts";
import { denoArguments, makeMaterial, runTask, TRAINING } from "../support/command.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Permissions of a task by what they are for, without their values. */
function permissionsOf(task: keyof typeof project.tasks): string[] {
  const flags = project.tasks[task].command.split(" ").filter((word) => word.startsWith("-"));
  return flags.map((flag) => flag.replace(/=.*/, "")).sort();
}

Deno.test("no task has all permissions or native code, and only those that talk to a server have a network", () => {
  for (const [task, { description, command }] of Object.entries(project.tasks)) {
    assert.match(description, /^[a-z]/, `${task}, as deno task lists it`);
    assert.doesNotMatch(command, / (-A|--allow-all|--allow-ffi|--allow-import)\b/, task);
    if (!["bench:serve", "fetch"].includes(task)) assert.doesNotMatch(command, /--allow-net/, task);
  }
  const training = ["--allow-env", "--allow-read", "--allow-run", "--allow-sys", "--allow-write"];
  assert.deepEqual(permissionsOf("train"), training);
  for (const task of ["sample", "edit"] as const) {
    assert.deepEqual(permissionsOf(task), permissionsOf("train"));
  }
  for (const task of ["export", "keys"] as const) {
    assert.deepEqual(permissionsOf(task), ["--allow-env", "--allow-read", "--allow-write"]);
  }
  const paths = project.tasks.fetch.command.split(" ").filter((flag) => /read|write/.test(flag));
  assert.deepEqual(paths, ["--allow-read=.", "--allow-write=.cache"]);
});

Deno.test("training and sampling give up the permission to start programs, and a process on Dawn never has it", async () => {
  const script = fileURLToPath(new URL("../support/continue_on_backend.ts", import.meta.url));
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-env", "--allow-run", script],
    env: { DENOISE_BACKEND: "" },
    stdout: "piped",
  }).output();
  assert.deepEqual(JSON.parse(new TextDecoder().decode(stdout)), { bench: "granted", train: "prompt" });
  const tasks = [["train", false], ["sample", false], ["edit", false], ["bench", true], [
    "bench:serve",
    true,
  ]] as const;
  for (const [task, startsPrograms] of tasks) {
    const args = nativeArguments(task, { dawn: "/cache/dawn.node" }, startsPrograms);
    const allowed = args.filter((arg) => arg.startsWith("--allow")).map((flag) => flag.replace(/=.*/, ""));
    const kept = permissionsOf(task).filter((flag) => startsPrograms || flag !== "--allow-run");
    assert.deepEqual(allowed.sort(), ["--allow-ffi", ...kept].sort());
    assert.ok(args.includes("--allow-ffi=/cache/dawn.node"));
    assert.ok(args.at(-1)!.endsWith(join("tasks", `${task.replace(":", "_")}.ts`)));
  }
});

Deno.test("a task without permission for environment variables says so, not which one it asked for", async () => {
  for (const task of ["train", "sample", "edit", "bench"]) {
    const script = fileURLToPath(new URL(`../../tasks/${task}.ts`, import.meta.url));
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-check", "--allow-read", script],
    }).output();
    assert.match(
      new TextDecoder().decode(stderr),
      new RegExp(
        `^error: .* permission for environment variables: .*--allow-env, or by \`deno task ${task}\`$`,
        "m",
      ),
    );
    assert.equal(code, 1);
  }
});

Deno.test("training with all its pictures, sampling with an animation and export do with what deno.json allows", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const quick = ["--steps", "2", "--count", "1"];
    for (
      const [task, ...args] of [
        ["train", ...TRAINING, "--steps", "5", "--out", "run"],
        ["sample", "--model", "run", ...quick, "--gif", "steps.gif"],
        ["export", "--model", "run", "--out", "model"],
      ]
    ) {
      assert.ok(denoArguments(task, []).includes("--no-prompt"));
      const { code, out, err } = await runTask(task, args, directory);
      assert.deepEqual([code, err], [0, ""], task);
      assert.doesNotMatch(out, /warning/);
    }
    for (
      const file of [
        ...[
          "run/loss.png",
          "run/forward.png",
          "run/reverse.png",
          "run/reverse.gif",
          "run/samples/epoch-0001.png",
        ],
        ...["samples.png", "steps.gif", "model/model_index.json"],
      ]
    ) assert.ok(Deno.statSync(join(directory, file)).isFile, file);
  });
});

Deno.test("a package.json beside deno.json, as npm init makes it, breaks nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "deno.json"), JSON.stringify(project));
    await Deno.writeTextFile(join(directory, "package.json"), '{ "name": "x", "version": "1.0.0" }');
    await Deno.writeTextFile(join(directory, "main.ts"), 'import "commander";\nconsole.log("fine");\n');
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "main.ts"],
      cwd: directory,
    }).output();
    assert.equal(new TextDecoder().decode(stderr), "");
    assert.equal(new TextDecoder().decode(stdout), "fine\n");
  });
});
