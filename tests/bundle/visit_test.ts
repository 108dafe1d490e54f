import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type CommandLine,
  isFine,
  type Outcome,
  runStages,
  type Stage,
  type StageOptions,
} from "../../bundle/stages.ts";
import { CALL_SECONDS, CALLS, stagesFor, WITHOUT_MATRICES } from "../../bundle/visit_stages.ts";
import {
  addResults,
  readResults,
  VISIT_FILES,
  type VisitResults,
  withoutRows,
} from "../../bundle/visit_results.ts";
import { summarizeVisit } from "../../bundle/visit_summary.ts";
import { type BenchReport, newReport } from "../../bench/report.ts";
import { ConfigError } from "../../lib/errors.ts";
import { ENVIRONMENT } from "../support/bench_environment.ts";
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
    for (const { name, log } of outcomes.filter(({ result }) => !/^(not run|skipped)/.test(result))) {
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
          "skipped: nothing to do it with",
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

/** A line of PyTorch's. */
function torchRow(row: Record<string, unknown> = {}): string {
  return JSON.stringify({
    ...{ what: "training", preset: "ddpm", batch: 128, precision: "float32", channelsLast: false },
    ...{ compiled: false, stepsPerSecond: 4, gflops: 19110.4, peakMiB: 20000, ...row },
  });
}

/** A report of one training and one sampling step. */
function report(ddpm: number, sampling: number): BenchReport {
  const made = newReport(ENVIRONMENT, false);
  const rates = { imagesPerSecond: 1, gflops: 1, ofPeak: 1 };
  made.training.push({
    ...{ model: "ddpm", batch: 128, milliseconds: ddpm, parameters: 1, dispatches: 1, flops: 1 },
    ...{ ...rates, hostMillisecondsPer1000: 1, firstStepSeconds: 1 },
  });
  made.sampling.push({ model: "ddpm", batch: 128, steps: 20, millisecondsPerStep: sampling, ...rates });
  return made;
}

/** That report, by network. */
function networks(name: string, { training, sampling, ...others }: ReturnType<typeof report>) {
  return {
    [`${name}-training-ddpm`]: { ...others, training, sampling: [] },
    [`${name}-sampling-ddpm`]: { ...others, training: [], sampling },
  };
}

const outcome = (name: string, log = "", result = "ok"): Outcome => ({ name, result, seconds: 12.3, log });

Deno.test("results hold what stages left and PyTorch said, and later calls add to them", () =>
  inTemporaryDirectory(async (folder) => {
    const parts = join(folder, "parts");
    await Deno.mkdir(parts);
    const leave = (name: string, text: string) => Deno.writeTextFile(join(parts, name), text);
    await leave("float32-first.json", JSON.stringify(report(200, 20)));
    await leave("damaged.json", "{");
    await leave("other.json", "{}");
    await leave("float32.log", "a log");
    const said = `$ step.py\n${torchRow()}\nout of memory`;
    const first = await addResults(await readResults(folder), parts, [
      outcome("pytorch", said, "exit code 1"),
      outcome("later", "", "not run: no time was left"),
    ]);
    assert.deepEqual(Object.keys(first.reports), ["float32-first"]);
    assert.deepEqual(first.stages, { pytorch: { result: "exit code 1", seconds: 12.3 } });
    assert.deepEqual(first.pytorch.map(({ stepsPerSecond }) => stepsPerSecond), [4]);
    assert.equal(withoutRows(said), "$ step.py\nout of memory");

    await Deno.writeTextFile(join(folder, VISIT_FILES.results), JSON.stringify(first));
    await Deno.remove(join(parts, "float32-first.json"));
    await leave("mixed-first.json", JSON.stringify(report(50, 10)));
    const again = [torchRow({ stepsPerSecond: 5 }), torchRow({ what: "sampling" })].join("\n");
    const second = await addResults(await readResults(folder), parts, [outcome("later", again)]);
    assert.deepEqual(Object.keys(second.reports), ["float32-first", "mixed-first"]);
    assert.deepEqual(Object.keys(second.stages), ["pytorch", "later"]);
    assert.deepEqual(second.pytorch.map(({ what, stepsPerSecond }) => [what, stepsPerSecond]), [
      ["training", 5],
      ["sampling", 4],
    ]);
  }));

Deno.test("a result cut off by a time limit is left out, and a damaged file of results is not replaced", () =>
  inTemporaryDirectory(async (folder) => {
    const empty = await readResults(folder);
    assert.deepEqual(empty, { stages: {}, reports: {}, pytorch: [] });
    const cut = `${torchRow()}\n${torchRow({ gflops: null })}\n${torchRow().slice(0, 40)}`;
    const { pytorch } = await addResults(empty, folder, [outcome("pytorch", cut, "stopped after 220 s")]);
    assert.equal(pytorch.length, 1);
    const path = join(folder, VISIT_FILES.results);
    for (
      const [content, why] of [
        ['{"stages":', "it is not JSON"],
        ["null", "expected object, received null"],
        ["{}", "stages: "],
        [JSON.stringify({ ...empty, reports: { kernels: {} } }), "reports\\.kernels\\.version: "],
        [JSON.stringify({ ...empty, stages: { tests: "ok" } }), "stages\\.tests: "],
        [
          JSON.stringify({ ...empty, pytorch: [JSON.parse(torchRow({ gflops: "1" }))] }),
          "pytorch\\[0\\]\\.gflops: ",
        ],
      ] as const
    ) {
      await Deno.writeTextFile(path, content);
      await assert.rejects(readResults(folder), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(
          error.message,
          new RegExp(`^--out: expected another folder, .*results\\.json .*\\(.*${why}`),
        );
        return true;
      });
    }
    await Deno.remove(path);
    await Deno.mkdir(path);
    await assert.rejects(readResults(folder), /^ConfigError: --out: expected another folder, .*[Dd]irectory/);
  }));

Deno.test("a summary has each stage's end, the figures to reach, and each result of PyTorch beside ours", () => {
  const reports = {
    ...networks("float32-first", report(125, 25)),
    ...networks("float32-tuned", report(100, 20)),
    ...networks("mixed-first", report(40, 8)),
    "float32-second-minute": { ...report(104, 0), sampling: [] },
    kernels: {
      ...report(0, 0),
      ...{ training: [], sampling: [] },
      kernels: [
        { name: "conv 3x3", milliseconds: 1, gflops: 1, ofLimit: 0.614 },
        { name: "product", milliseconds: 1, gflops: 1, ofLimit: 0.47 },
        { name: "add", milliseconds: 1, gigabytesPerSecond: 1, ofLimit: 0.01 },
      ],
    },
    "first-steps-float32": {
      ...report(0, 0),
      ...{ training: [], sampling: [] },
      firstSteps: [{
        ...{ model: "small", batch: 128, coldSeconds: 14.2, warmSeconds: 2.9 },
        tuned: { coldSeconds: 13.1, warmSeconds: 1.2 },
      }],
    },
  } as unknown as VisitResults["reports"];
  const pytorch = [
    torchRow({ stepsPerSecond: 8 }),
    torchRow({ precision: "bfloat16", channelsLast: true, stepsPerSecond: 10 }),
    torchRow({ what: "sampling", compiled: true, preset: "small" }),
  ].map((row) => JSON.parse(row));
  const loader = "[Vulkan Loader] DEBUG | DRIVER: x\nLAYER:        y\n";
  const long = "x".repeat(5000) + `\n${loader.repeat(99)}failed at last\n`;
  const summary = summarizeVisit({ stages: {}, reports, pytorch }, [
    { ...outcome("models", long), result: "exit code 1" },
    { ...outcome("tests", ""), result: "not run: no time was left", seconds: 0 },
  ]);
  const tail = `${"x".repeat(1500 - "\nfailed at last".length)}\nfailed at last`;
  assert.equal(
    summary,
    `=== models: exit code 1, 12 s
${tail}
=== tests: not run: no time was left, 0 s
=== figures
training ddpm, float32: 10.00 steps/s tuned, 8.00 steps/s from an empty cache (80 %), 9.62 steps/s in the second minute of a long run from an empty cache (96 %); to reach 13 steps/s; PyTorch 8.00 float32, 10.00 bfloat16 channels last
training small, float32: not measured; to reach 32 steps/s
training tiny, float32: not measured; to reach 180 steps/s
training ddpm, mixed: 25.00 steps/s from an empty cache; to reach 30 steps/s; PyTorch 8.00 float32, 10.00 bfloat16 channels last
training small, mixed: not measured; to reach 70 steps/s
sampling ddpm, float32: 50.00 steps/s tuned, 40.00 steps/s from an empty cache (80 %); to reach 40 steps/s
sampling ddpm, mixed: 125.00 steps/s from an empty cache; to reach 120 steps/s
products and direct convolutions: 47 % (product), 61 % (conv 3x3); to reach 60 % of peak
process start to first step: small 14.2 s cold, 2.9 s warm, small, all tuned, 13.1 s cold, 1.2 s warm; to reach 15 s, 3 s
=== beside PyTorch
training ddpm, batch 128, PyTorch float32: 8.00 steps/s (19110 GFLOP/s, 20000 MiB); here 10.00, 1.25 x
training ddpm, batch 128, PyTorch bfloat16 channels last: 10.00 steps/s (19110 GFLOP/s, 20000 MiB); here 10.00, 1.00 x; in mixed precision 25.00, 2.50 x
sampling small, batch 128, PyTorch float32 compiled: 4.00 steps/s (19110 GFLOP/s, 20000 MiB); not measured here
`,
  );
});

Deno.test("every stage is in one call, whose time limits fit", () => {
  const stages = stagesFor("/parts", "npm");
  const limitOf = new Map(stages.map(({ name, limit }) => [name, limit]));
  assert.deepEqual(CALLS.flat().toSorted(), [...limitOf.keys()].toSorted());
  for (const names of CALLS) {
    const seconds = names.reduce((sum, name) => sum + limitOf.get(name)!, 0);
    assert.ok(seconds <= CALL_SECONDS, `${names.join(" ")}: ${seconds} s`);
  }
});

Deno.test("every report has a name of its own, and native code has its permission", () => {
  const lines = stagesFor("/parts", "npm").flatMap(({ commands }) =>
    commands.map((command) => command.join(" "))
  );
  const reports = lines.flatMap((line) => / (\S+)\.json\b/.exec(line)?.[1] ?? []);
  assert.ok(reports.length > 20);
  assert.equal(new Set(reports).size, reports.length);
  const onDawn = lines.filter((line) => line.includes("DENOISE_BACKEND=dawn"));
  assert.ok(onDawn.length > 10);
  for (const line of onDawn) assert.match(line, /deno run -A|deno task test/);
});

Deno.test("without matrix units, mixed precision is skipped, which is no failure", () => {
  const stages = stagesFor("/parts", "npm", false, false);
  const skipped = stages.filter(({ missing }) => missing === WITHOUT_MATRICES).map(({ name }) => name);
  assert.deepEqual(skipped, ["mixed", "tuned-mixed", "second-minute-mixed", "first-steps-mixed"]);
  const rest = stages.filter(({ missing }) => missing === undefined).flatMap(({ commands }) => commands);
  assert.deepEqual(rest.filter((command) => command.join(" ").includes("--precision mixed")), []);
  const results = ["ok", "skipped: no matrix units", "not run: no time was left", "exit code 2"];
  assert.deepEqual(results.map((result) => isFine(outcome("x", "", result))), [true, true, false, false]);
});

Deno.test("a measurement from an empty tuning cache has a folder of its own", () => {
  const stages = stagesFor("/parts", "npm").filter(({ name }) => name === "mixed" || name === "float32");
  const folders = stages.flatMap(({ commands }) => commands.map(([, , , folder]) => folder));
  assert.equal(folders.length, 10);
  assert.equal(new Set(folders).size, folders.length);
  for (const folder of folders) assert.match(folder, /^\/parts\//); // removed after each call
});

Deno.test("a trial has the same stages, of the smallest networks", () => {
  const [full, trial] = [stagesFor("/parts", "npm"), stagesFor("/parts", "npm", true)];
  assert.deepEqual(trial.map(({ name }) => name), full.map(({ name }) => name));
  for (const { commands } of trial) {
    for (const command of commands) assert.doesNotMatch(command.join(" "), /ddpm|small/);
  }
});

Deno.test("each of PyTorch's measurements has a time limit, and all of them fit into their stage", () => {
  const stages = stagesFor("/parts", "npm").filter(({ commands }) =>
    commands.some((command) => command.includes("bench/pytorch/step.py"))
  );
  assert.deepEqual(stages.map(({ name }) => name), ["pytorch", "pytorch-sampling", "compiled"]);
  const lines = stages.flatMap(({ commands }) => commands.map((command) => command.join(" ")));
  for (const line of lines) assert.match(line, /^timeout -k 5 \d+ python3 /);
  const of = (text: string) => lines.filter((line) => line.includes(text)).length;
  assert.deepEqual(
    [of("--what training"), of("--what sampling"), of("tf32"), of("--precision bfloat16 "), of("--compile")],
    [8, 8, 4, 6, 2],
  );
  const compiled = stages[2].commands.reduce((sum, [, , , seconds]) => sum + Number(seconds) + 5, 0);
  assert.ok(compiled <= stages[2].limit);
});

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
    assert.match(wrong.err, /STAGE: expected one of machine, matrices, .*, got "machines"/);
    await assert.rejects(Deno.stat(join(folder, "seen")), Deno.errors.NotFound);
    await Deno.writeTextFile(join(folder, "a file"), "kept");
    await Deno.mkdir(join(folder, "odd/summary.txt"), { recursive: true });
    for (
      const [out, allowed] of [
        ["a file", "a directory, not a file"],
        ["a file/below", "a path in a directory"],
        ["odd", "a file, not a directory"],
      ] as const
    ) {
      const refused = await runVisit(["--out", out, "machine"], folder);
      assert.equal(refused.code, 2, refused.err);
      assert.match(refused.err, new RegExp(`^error: --out: expected ${allowed}.*\n$`));
    }
    assert.equal(await Deno.readTextFile(join(folder, "a file")), "kept");
    if (onLinux.ignore) return;
    const { code, out, err } = await runVisit(["--out", "seen", "machine"], folder);
    assert.equal(code, 0, out + err);
    assert.match(out, /=== machine: ok, /);
    assert.match(
      out,
      /Not run yet:\n {2}sh start\.sh visit matrices mixed float32\n {2}sh start\.sh visit tuned-float32 pytorch\n/,
    );
    assert.equal(out, await Deno.readTextFile(join(folder, "seen/summary.txt")) + "\n");
    const files = await Array.fromAsync(Deno.readDir(join(folder, "seen")), ({ name }) => name);
    assert.deepEqual(files.sort(), ["logs.txt", "results.json", "summary.txt"]);
    const log = await Deno.readTextFile(join(folder, "seen/logs.txt"));
    assert.match(log, /\nadapter: \S/);
    for (const what of ["maxComputeWorkgroupStorageSize", "subgroupMaxSize", "shader-f16|timestamp-query"]) {
      assert.match(log, new RegExp(`"(${what})"`));
    }
  }));
