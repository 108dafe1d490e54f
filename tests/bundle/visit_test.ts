import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CommandLine, runStages, type Stage, type StageOptions } from "../../bundle/stages.ts";
import { summarizeVisit } from "../../bundle/visit_summary.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const onLinux = { ignore: Deno.build.os !== "linux" };

const sh = (script: string): CommandLine => ["sh", "-c", script];
const stage = (name: string, ...commands: CommandLine[]): Stage => ({ name, limit: 60, commands });

/** Runs stages in a folder of their own; the logs' content by stage, and how each ended. */
function visit(
  stages: readonly Stage[],
  options: Partial<StageOptions>,
  check: (results: string[], logs: string[], folder: string) => void | Promise<void>,
): Promise<void> {
  return inTemporaryDirectory(async (folder) => {
    const outcomes = await runStages(stages, { out: folder, cwd: folder, seconds: 100, ...options });
    assert.deepEqual(outcomes.map(({ name }) => name), stages.map(({ name }) => name));
    for (const { name, log } of outcomes.filter(({ result }) => !result.startsWith("not run"))) {
      assert.equal(await Deno.readTextFile(join(folder, `${name}.log`)), log);
    }
    await check(outcomes.map(({ result }) => result), outcomes.map(({ log }) => log), folder);
  });
}

Deno.test({
  name: "stages go on where a command fails, is missing or crashes, and log all that it said",
  ...onLinux,
  fn: () =>
    visit(
      [
        stage("first", sh("echo one; echo two >&2; exit 3"), sh("echo three"), sh("exit 3")),
        stage("second", ["no-such-program", "x"], sh("kill -SEGV $$")),
        stage("third", sh("echo there > made; pwd")),
        { ...stage("fourth", sh("echo never > made")), missing: "nothing to do it with" },
      ],
      {},
      async (results, logs, folder) => {
        assert.deepEqual(results, [
          "exit code 3",
          "no-such-program: spawn no-such-program ENOENT; SIGSEGV",
          "ok",
          "not run: nothing to do it with",
        ]);
        const [first, second, third, fourth] = logs;
        assert.match(
          first,
          /^\$ sh -c echo one.*\none\ntwo\n\(exit code 3\)\n\$ sh -c echo three\nthree\n\$ sh -c exit 3\n\(exit/,
        );
        assert.match(second, /^\$ no-such-program x\n\(no-such-program: .*ENOENT\)\n/);
        assert.equal(third, `$ sh -c echo there > made; pwd\n${await Deno.realPath(folder)}\n`);
        assert.equal(fourth, "");
        assert.equal(await Deno.readTextFile(join(folder, "made")), "there\n");
      },
    ),
});

Deno.test({
  name: "a stage that takes too long is ended with all that it has started, and the next one runs",
  ...onLinux,
  fn: () =>
    visit(
      [
        {
          ...stage("slow", sh("sh -c 'sleep 2; echo late > late' & echo begun; wait"), sh("echo no")),
          limit: 1,
        },
        stage("next", sh("sleep 2")),
        { ...stage("deaf", sh("trap '' TERM; echo deaf; while :; do sleep 1; done")), limit: 1 },
      ],
      {},
      async (results, logs, folder) => {
        assert.deepEqual(results, ["stopped after 1 s", "ok", "stopped after 1 s"]);
        assert.match(logs[0], /\nbegun\n$/);
        await assert.rejects(Deno.stat(join(folder, "late")), Deno.errors.NotFound);
      },
    ),
});

Deno.test({
  name: "stages share the time that there is, and those without any are not begun",
  ...onLinux,
  fn: () =>
    visit(
      [stage("slow", sh("sleep 20")), stage("short of it", sh("echo never"))],
      { seconds: 9 },
      (results) => assert.deepEqual(results, ["stopped after 6 s", "not run: no time was left"]),
    ),
});

Deno.test({
  name: "an interruption ends the command that runs, and what would follow",
  ...onLinux,
  fn: () => {
    const interruption = new AbortController();
    const onStage = (_: Stage, outcome?: unknown) => {
      if (!outcome) setTimeout(() => interruption.abort(), 200);
    };
    const stages = [stage("slow", sh("sleep 20"), sh("echo never")), stage("next", sh("echo never"))];
    return visit(stages, { signal: interruption.signal, onStage }, (results, logs) => {
      assert.deepEqual(results, ["interrupted", "not run: interrupted"]);
      assert.equal(logs[0], "$ sh -c sleep 20\n");
    });
  },
});

Deno.test("a summary has each stage's end, and each result of PyTorch beside ours of the same batch", () =>
  inTemporaryDirectory(async (folder) => {
    const torch = (row: Record<string, unknown>) =>
      JSON.stringify({
        ...{ what: "training", preset: "ddpm", batch: 128, precision: "float32", channelsLast: false },
        ...{ compiled: false, stepsPerSecond: 4, gflops: 19110.4, peakMiB: 20000, ...row },
      });
    const report = {
      training: [{ model: "ddpm", batch: 128, milliseconds: 200 }],
      sampling: [{ model: "small", batch: 64, millisecondsPerStep: 10 }],
      precisions: [{ kind: "training", model: "ddpm", batch: 128, mixedMilliseconds: 80 }],
    };
    await Deno.writeTextFile(join(folder, "models.json"), JSON.stringify(report));
    const log = [
      "$ python3 step.py",
      torch({}),
      torch({ precision: "bfloat16", channelsLast: true, stepsPerSecond: 10 }),
      torch({ what: "sampling", preset: "small" }),
      torch({ what: "sampling", preset: "small", batch: 64, compiled: true }),
      "out of memory",
    ].join("\n");
    const summary = await summarizeVisit(folder, [
      { name: "models", result: "exit code 1", seconds: 12.3, log: "x".repeat(5000) + "\nfailed at last\n" },
      { name: "pytorch", result: "ok", seconds: 60, log },
      { name: "tests", result: "not run: no time was left", seconds: 0, log: "" },
    ]);
    const tail = `${"x".repeat(1500 - "\nfailed at last".length)}\nfailed at last`;
    assert.equal(
      summary,
      `=== models: exit code 1, 12 s
${tail}
=== pytorch: ok, 60 s
$ python3 step.py
out of memory
=== tests: not run: no time was left, 0 s
=== beside PyTorch
training ddpm, batch 128, PyTorch float32: 4.00 steps/s (19110 GFLOP/s, 20000 MiB); here 5.00, 1.25 x
training ddpm, batch 128, PyTorch bfloat16 channels last: 10.00 steps/s (19110 GFLOP/s, 20000 MiB); here 5.00, 0.50 x; in mixed precision 12.50, 1.25 x
sampling small, batch 128, PyTorch float32: 4.00 steps/s (19110 GFLOP/s, 20000 MiB); not measured here
sampling small, batch 64, PyTorch float32 compiled: 4.00 steps/s (19110 GFLOP/s, 20000 MiB); here 100.00, 25.00 x
`,
    );
  }));

/** Runs `bundle/visit.ts` as a bundle's `start.sh` does. */
async function runVisit(args: readonly string[], cwd: string) {
  const script = fileURLToPath(new URL("../../bundle/visit.ts", import.meta.url));
  const command = ["run", "-A", "--no-check", script, ...args];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: command,
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: decode(stdout), err: decode(stderr) };
}

Deno.test("visit names the stages that there are, and leaves results and what is left to do", () =>
  inTemporaryDirectory(async (folder) => {
    const wrong = await runVisit(["--out", "seen", "machines"], folder);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /STAGE: expected one of machine, models, .*, got "machines"/);
    await assert.rejects(Deno.stat(join(folder, "seen")), Deno.errors.NotFound);
    if (onLinux.ignore) return;
    const { code, out, err } = await runVisit(["--out", "seen", "machine"], folder);
    assert.equal(code, 0, out + err);
    assert.match(out, /=== machine: ok, /);
    assert.match(out, /Not run yet:\n {2}sh start\.sh visit models kernels pytorch\n/);
    assert.equal(out, await Deno.readTextFile(join(folder, "seen/summary.txt")) + "\n");
    const log = await Deno.readTextFile(join(folder, "seen/machine.log"));
    assert.match(log, /\nadapter: \S/);
    for (const what of ["maxComputeWorkgroupStorageSize", "subgroupMaxSize", "shader-f16|timestamp-query"]) {
      assert.match(log, new RegExp(`"(${what})"`));
    }
  }));
