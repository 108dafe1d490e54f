/** `mpirun -n N deno task train`: ranks in processes of their own, by both libraries. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { denoArguments, makeMaterial, type Outcome, TRAINING } from "../support/command.ts";
import { loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { stateOf } from "../support/train/micro.ts";
import { runTool, testsWith } from "../support/tools.ts";
import { until } from "../support/until.ts";

const LAUNCHERS = ["mpirun.openmpi", "mpirun.mpich"] as const;
const test = testsWith(LAUNCHERS);

/** Flags of Open MPI's mpirun for more processes than cores, and for root. */
const FLAGS = {
  "mpirun.openmpi": ["--oversubscribe", "--allow-run-as-root"],
  "mpirun.mpich": [],
};

/** Four micro-batches of four images a step, with dropout of labels, flips and a longer average. */
const SETTINGS = [
  ...TRAINING,
  ...["--accumulate", "4", "--ema-profiles", "0.1"],
];

/** Runs `tasks/train.ts` in a directory: on ranks that a launcher starts, or alone. */
async function trainOn(
  launcher: string | undefined,
  ranks: number,
  args: readonly string[],
  cwd: string,
  flags: readonly string[] = [],
): Promise<Outcome> {
  const env = { NO_COLOR: "1" };
  const own = denoArguments("train", args);
  if (launcher === undefined) return await runTool(Deno.execPath(), own, { cwd, env });
  return await runTool(launcher, [...flags, "-n", `${ranks}`, Deno.execPath(), ...own], { cwd, env });
}

test("ranks of Open MPI and of MPICH train as one process does, and resume each other's runs", async (tools) => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory, 24);
    const steps = (count: number) => ["--steps", `${count}`];
    const alone = await trainOn(undefined, 1, [...SETTINGS, ...steps(4), "--out", "alone"], directory);
    assert.equal(alone.code, 0, alone.err);
    const expected = await stateOf(join(directory, "alone"));

    const [openMpi, mpich] = LAUNCHERS;
    const first = await trainOn(
      tools[openMpi],
      2,
      [...SETTINGS, ...steps(2), "--out", "shared"],
      directory,
      FLAGS[openMpi],
    );
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /^ranks: 2, by Open MPI v\d/m);
    assert.equal(first.out.match(/^done: /gm)?.length, 1, "rank 0 alone speaks");
    const second = await trainOn(
      tools[mpich],
      3,
      ["--resume", "shared", ...steps(4)],
      directory,
      FLAGS[mpich],
    );
    assert.equal(second.code, 0, second.err);
    assert.match(second.out, /^ranks: 3, by MPICH \d/m);
    assert.deepEqual(await stateOf(join(directory, "shared")), expected);
  });
});

test("too few micro-batches for the ranks end all of them, with what to set", async (tools) => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory, 24);
    const args = [...TRAINING, "--accumulate", "1", "--out", "none"];
    const { code, err } = await trainOn(tools["mpirun.mpich"], 2, args, directory);
    assert.notEqual(code, 0);
    assert.match(err, /--accumulate: expected at least 2, a micro-batch .* for each of the 2 ranks, got 1/);
    await assert.rejects(Deno.stat(join(directory, "none")), Deno.errors.NotFound);
  });
});

test("a rank that is killed, or stopped for longer than the timeout, ends all, and the run goes on from its checkpoint", async (tools) => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory, 24);
    const endless = [...SETTINGS, "--epochs", "100000", "--sample-every", "0", "--rank-timeout", "5"];
    for (const [launcher, signal] of [["mpirun.openmpi", "SIGSTOP"], ["mpirun.mpich", "SIGKILL"]] as const) {
      const out = `${signal}`;
      const own = denoArguments("train", [...endless, "--out", out]);
      const child = new Deno.Command(tools[launcher], {
        args: [...FLAGS[launcher], "-n", "2", Deno.execPath(), ...own],
        cwd: directory,
        env: { NO_COLOR: "1" },
        stdout: "null",
        stderr: "piped",
      }).spawn();
      const said = new Response(child.stderr).text();
      const metrics = join(directory, out, "metrics.jsonl");
      await until(
        "an epoch has been saved, and another is over",
        async () => (await Deno.readTextFile(metrics).catch(() => "")).split('"type":"epoch"').length > 2,
      );
      const victim = (await ranksOf(out)).at(-1)!;
      Deno.kill(victim, signal);
      const began = performance.now();
      assert.notEqual((await child.status).code, 0);
      const seconds = (performance.now() - began) / 1000;
      assert.ok(seconds < 30, `${seconds} s`);
      if (signal === "SIGSTOP") {
        assert.match(
          await said,
          /error: rank [01] \(process \d+ on .+\) has given no sign of life for 5 seconds/,
        );
      } else await said;
      await until("no process is left", async () => (await ranksOf(out)).length === 0);
      const { step } = await loadLatestCheckpoint(join(directory, out));
      const resumed = await trainOn(
        tools[launcher],
        2,
        ["--resume", out, "--steps", `${step + 2}`, "--quiet"],
        directory,
        FLAGS[launcher],
      );
      assert.equal(resumed.code, 0, resumed.err);
    }
  });
});

/** Processes that compute the ranks of a run. */
async function ranksOf(out: string): Promise<number[]> {
  const { out: processes } = await runTool("ps", ["-eo", "pid=,args="]);
  return processes.split("\n").filter((line) => line.includes("--allow-ffi") && line.endsWith(`--out ${out}`))
    .map((line) => Number.parseInt(line));
}
