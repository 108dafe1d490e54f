import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { runTask } from "../support/command.ts";
import {
  errorReport,
  parseSummary,
  runTests,
  shares,
  splitFlags,
  testArguments,
  whyFailed,
} from "../../tasks/test.ts";

Deno.test("the summary is read with and without steps, ignored tests and colours", () => {
  for (
    const [line, counts] of [
      ["ok | 12 passed | 0 failed (3s)", { passed: 12, failed: 0, skipped: 0 }],
      ["FAILED | 5 passed | 1 failed (17ms)", { passed: 5, failed: 1, skipped: 0 }],
      ["ok | 2 passed (7 steps) | 0 failed | 3 ignored (1m2s)", { passed: 2, failed: 0, skipped: 3 }],
      ["ok | 2 passed | 0 failed (1 step) | 4 filtered out (1s)", { passed: 2, failed: 0, skipped: 0 }],
      ["\x1b[32mok\x1b[0m | 9 passed | 0 failed \x1b[38;5;245m(11ms)\x1b[0m", {
        passed: 9,
        failed: 0,
        skipped: 0,
      }],
    ] as const
  ) assert.deepEqual(parseSummary(`running 1 test\n\n${line}\n\n`), counts);
});

Deno.test("the last summary counts, and only a whole one at the start of a line", () => {
  assert.equal(parseSummary("ok | 1 passed | 0 failed (1s)\nFAILED | 0 passed | 1 failed (1s)\n")?.failed, 1);
  assert.equal(
    parseSummary("test prints: ok | 1 passed | 0 failed\nerror: Type checking failed.\n"),
    undefined,
  );
  assert.equal(parseSummary(""), undefined);
});

Deno.test("errors are reported from their heading on, and without one the last lines", () => {
  const ran = Array.from({ length: 30 }, (_, i) => `test ${i} ... ok`).join("\n");
  assert.equal(
    errorReport(
      `${ran}\n\n\x1b[41m ERRORS \x1b[0m\n\na => a_test.ts:1:6\nerror: x\n\nFAILED | 1 passed | 1 failed (1s)\n\n`,
    ),
    " ERRORS \n\na => a_test.ts:1:6\nerror: x\n\nFAILED | 1 passed | 1 failed (1s)",
  );
  assert.deepEqual(errorReport(ran).split("\n").slice(0, 1), ["test 10 ... ok"]);
});

Deno.test("an abort is forgiven only after a summary with passed tests and no failed one", () => {
  const counts = (passed: number, failed: number) => ({ passed, failed, skipped: 0 });
  assert.equal(whyFailed(0, counts(3, 0)), undefined);
  assert.equal(whyFailed(134, counts(3, 0)), undefined);
  assert.match(whyFailed(134, counts(3, 1))!, /1 of 4 tests failed/);
  assert.match(whyFailed(134, counts(0, 0))!, /no test ran/);
  assert.match(whyFailed(134, undefined)!, /did not finish.* 134/);
  assert.match(whyFailed(0, counts(0, 0))!, /no test ran/);
  assert.match(whyFailed(1, counts(3, 0))!, /exit code 1/);
  assert.match(whyFailed(139, counts(3, 0))!, /exit code 139/);
});

Deno.test("paths take the place of the suite, flags and their values do not", () => {
  assert.deepEqual(testArguments(["tests/tasks"]).slice(-2), ["--no-prompt", "tests/tasks"]);
  const all = testArguments(["--filter", "softmax"]);
  assert.deepEqual(all.slice(all.indexOf("--filter"), all.indexOf("--filter") + 3), [
    "--filter",
    "softmax",
    "tests",
  ]);
});

Deno.test("the whole suite is shared between two processes, each test file in one of them", () => {
  const [rest, beside, ...more] = shares([], 2);
  assert.deepEqual(more, []);
  const folders = beside!.slice(beside!.indexOf("--no-prompt") + 1);
  assert.ok(
    folders.length > 0 && folders.every((folder) => existsSync(new URL(`../../${folder}`, import.meta.url))),
  );
  assert.ok(rest!.includes(`--ignore=${folders.join()}`));
  assert.deepEqual(rest!.filter((arg) => !arg.startsWith("--ignore")), testArguments([]));

  const preload = "--preload=some.ts";
  assert.ok(shares([preload], 2).every((share) => share.includes(preload)));
  assert.equal(shares([preload], 2).length, 2);
  for (const args of [["tests/tasks"], ["--filter", "softmax"], ["--junit-path=tests.xml"]]) {
    assert.deepEqual(shares(args, 2), [testArguments(args)]);
  }
  assert.deepEqual(shares([], 1), [testArguments([])]);
});

Deno.test("the backend is split off the flags of deno test, and must be known", () => {
  assert.deepEqual(splitFlags(["tests/gpu", "--backend", "dawn", "--fail-fast"]), {
    env: { DENOISE_BACKEND: "dawn" },
    rest: ["tests/gpu", "--fail-fast"],
  });
  assert.deepEqual(splitFlags(["tests/gpu"]), { env: {}, rest: ["tests/gpu"] });
  assert.throws(
    () => splitFlags(["--backend", "wgpu"]),
    /^DenoiseError: --backend: expected deno or dawn, got wgpu$/,
  );
  assert.throws(() => splitFlags(["--backend"]), /got nothing$/);
});

Deno.test("--help lists the task's own flags, and runs no test", async () => {
  const { code, out, err } = await runTask("test", ["--help"], ".");
  assert.deepEqual([code, err], [0, ""]);
  for (const words of ["deno task test", "--backend <NAME>", "--bounds", "deno test --help"]) {
    assert.ok(out.includes(words), words);
  }
  assert.doesNotMatch(out, /passed/);
});

Deno.test("--bounds preloads the instrument, which exists, on devices that it can watch", () => {
  const { env, rest } = splitFlags(["tests/kernels", "--bounds"]);
  assert.deepEqual(env, { DENOISE_BOUNDS: "check" });
  assert.match(rest[0], /^--preload=/);
  assert.ok(existsSync(new URL(`../../${rest[0].split("=")[1]}`, import.meta.url)));
  assert.deepEqual(rest.slice(1), ["tests/kernels"]);
  assert.throws(
    () => splitFlags(["--bounds", "--backend", "dawn"]),
    /^DenoiseError: --bounds: the devices of Deno/,
  );
});

Deno.test("the tests run on the backend asked for", async () => {
  const { lines } = await runWith("", 'echo "on $DENOISE_BACKEND"', ["tests/tasks", "--backend", "dawn"]);
  assert.equal(lines[0], "on dawn");
});

/** Runs the runner with a stand-in for `deno` that prints `output` and ends as `end` says. */
async function runWith(
  output: string,
  end: string,
  args: readonly string[] = ["tests/tasks"],
): Promise<{ passed: boolean; lines: string[] }> {
  const fake = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(fake, `#!/bin/sh\nulimit -c 0\nprintf '%s' '${output}'\n${end}\n`);
    await Deno.chmod(fake, 0o755);
    let written = "";
    const passed = await runTests(args, (chunk) => written += new TextDecoder().decode(chunk), fake);
    return { passed, lines: written.trimEnd().split("\n") };
  } finally {
    await Deno.remove(fake);
  }
}

const ignore = Deno.build.os === "windows";

Deno.test({
  name: "the output passes through and ends with the counts, also when the process aborts at its end",
  ignore,
  fn: async () => {
    const summary = "ok | 3 passed | 0 failed | 1 ignored (1s)";
    const aborted = await runWith(`a test ... ok\n\n${summary}\n\n`, "kill -ABRT $$");
    assert.equal(aborted.passed, true);
    assert.deepEqual(aborted.lines.slice(0, 3), ["a test ... ok", "", summary]);
    assert.match(aborted.lines.at(-2)!, /aborted/);
    assert.equal(aborted.lines.at(-1), "3 passed, 0 failed, 1 skipped");
  },
});

Deno.test({
  name: "a failed test, an early abort and a run without tests fail",
  ignore,
  fn: async () => {
    const failed = await runWith("FAILED | 3 passed | 2 failed (1s)\n", "exit 1");
    assert.deepEqual([failed.passed, failed.lines.at(-1)], [false, "3 passed, 2 failed"]);
    const early = await runWith("a test ... ok\n", "kill -ABRT $$");
    assert.deepEqual([early.passed, early.lines.at(-1)], [false, "0 passed, 0 failed"]);
    const none = await runWith("ok | 0 passed | 0 failed (0ms)\n", "exit 0");
    assert.deepEqual([none.passed, none.lines.at(-2)], [false, "no test ran"]);
  },
});

Deno.test({
  name: "the output and the counts of two processes follow each other, and either fails the run",
  ignore: ignore || navigator.hardwareConcurrency < 2,
  fn: async () => {
    const ok = "ok | 3 passed | 0 failed (1s)";
    const both = await runWith(`${ok}\n`, "", []);
    assert.deepEqual(both, { passed: true, lines: [ok, ok, "6 passed, 0 failed"] });
    const failing =
      'case "$*" in *--ignore*) exit 0;; esac; printf "FAILED | 1 passed | 2 failed (1s)\\n"; exit 1';
    const one = await runWith(`${ok}\n`, failing, []);
    assert.equal(one.passed, false);
    assert.deepEqual(one.lines.slice(-2), ["2 of 3 tests failed", "4 passed, 2 failed"]);
    const first =
      `case "$*" in *--ignore*) printf " ERRORS \\na => a_test.ts\\nFAILED | 1 passed | 1 failed\\n"; exit 1;; esac; printf "${ok}\\n"`;
    assert.deepEqual((await runWith("", first, [])).lines.slice(-6), [
      " ERRORS ",
      "a => a_test.ts",
      "FAILED | 1 passed | 1 failed",
      "",
      "1 of 2 tests failed",
      "4 passed, 1 failed",
    ]);
  },
});
