import assert from "node:assert/strict";
import { describeError, helpWidth, TaskCommand } from "../../terminal/cli.ts";
import { integer, type NamedPath, namedPath, number, oneOf, text } from "../../terminal/values.ts";
import { ConfigError, DataError, TrainingError } from "../../lib/errors.ts";

interface Options {
  epochs?: number;
  steps?: number;
  lr: number;
  preset: string;
  out?: string;
  resume?: string | true;
  labelDropout: number;
  json?: true;
  size?: number[];
  also?: NamedPath[];
}

/** Runs a command line like that of `train`; what it printed comes back with the values or the error. */
function run(...args: string[]): { options?: Options; output: string; exitCode?: number } {
  let output = "";
  const write = (part: string) => output += part;
  const command = new TaskCommand("train", "Trains.").configureOutput({ writeOut: write, writeErr: write })
    .flag("--epochs <N>", "passes over the data", {
      value: integer(1, 1000),
      defaultText: "5",
      conflicts: ["steps"],
    })
    .flag("--steps <N>", "optimizer steps", { value: integer(1) })
    .flag("--lr <F>", "learning rate", { value: number(0, 1), default: 2e-4 })
    .flag("--preset <NAME>", "network", { value: oneOf(["tiny", "small", "ddpm"]), default: "small" })
    .flag("--out <DIR>", "run directory", { value: text() })
    .flag("--resume [DIR]", "go on with a run", { value: text() })
    .flag("--label-dropout <F>", "share of labels left out", { value: number(0, 1), default: 0.1 })
    .flag("--limit <N>", "use so many only", { value: integer(1), unit: "images" })
    .flag("--size <N>", "sizes to draw", { value: integer(1), many: true })
    .flag("--also <[NAME=]PATH>", "further models", { value: namedPath(), many: true })
    .switch("--json", "one JSON object a line");
  try {
    return { options: command.read<Options>(args), output };
  } catch (error) {
    return { output, exitCode: describeError(error).exitCode };
  }
}

Deno.test("values are read by their flags, defaults stand in for the others", () => {
  const { options } = run("--epochs", "3", "--lr=1e-3", "--json", "--label-dropout", "0", "--out", "-x");
  assert.deepEqual(options, { epochs: 3, lr: 1e-3, json: true, labelDropout: 0, out: "-x", preset: "small" });
  assert.equal(run("--resume").options?.resume, true);
  assert.equal(run("--resume", "runs/a").options?.resume, "runs/a");
  assert.equal(run().options?.epochs, undefined);
});

Deno.test("a wrong value names the flag, the value and what is allowed, and exits 2", () => {
  for (
    const [flag, value, allowed] of [
      ["--epochs", "0", "a whole number, from 1 to 1000"],
      ["--epochs", "1001", "a whole number, from 1 to 1000"],
      ["--epochs", "1.5", "a whole number, from 1 to 1000"],
      ["--epochs", "0x10", "a whole number, from 1 to 1000"],
      ["--epochs", " 7 ", "a whole number, from 1 to 1000"],
      ["--epochs", "", "a whole number, from 1 to 1000"],
      ["--steps", "9007199254740993", "a whole number, 1 or more"],
      ["--lr", "NaN", "a number, from 0 to 1"],
      ["--lr", "1e999", "a number, from 0 to 1"],
      ["--lr", "-0.1", "a number, from 0 to 1"],
      ["--lr", "1e", "a number, from 0 to 1"],
      ["--preset", "Small", "tiny, small, ddpm"],
      ["--out", "", "any non-empty text"],
    ]
  ) {
    const { output, exitCode } = run(flag, value);
    assert.equal(exitCode, 2, `${flag} ${value}`);
    assert.ok(output.includes(`'${flag} <`) && output.includes(`'${value}'`), output);
    assert.ok(output.includes(`Allowed: ${allowed}.`), output);
  }
});

Deno.test("an unknown flag fails with the nearest name", () => {
  for (
    const [wrong, near] of [
      ["--epoch", "--epochs"],
      ["--eopchs", "--epochs"],
      ["--label_dropout", "--label-dropout"],
      ["--labeldropout", "--label-dropout"],
      ["--output", "--out"],
      ["--presets", "--preset"],
    ]
  ) {
    const { output, exitCode } = run(wrong, "3");
    assert.equal(exitCode, 2);
    assert.ok(output.includes(`unknown option '${wrong}'`) && output.includes(`${near}?)`), output);
  }
  assert.match(run("--xyzzy").output, /unknown option '--xyzzy'\n\(--help lists all options\)/);
});

Deno.test("a missing value, a repeated flag, a conflict and a stray word fail", () => {
  assert.match(run("--epochs").output, /'--epochs <N>' argument missing/);
  assert.match(run("--lr", "1", "--lr", "1").output, /option '--lr <F>' is given twice/);
  assert.equal(run("--lr", "1", "--lr", "1").exitCode, 2);
  assert.match(run("--json", "--json").output, /is given twice/);
  assert.match(
    run("--epochs", "1", "--steps", "1").output,
    /'--epochs <N>' cannot be used with option '--steps <N>'/,
  );
  assert.match(run("small").output, /^error: 'small' belongs to no option\n\(--help/);
});

Deno.test("a flag that may be repeated has all its values in order, and names the wrong one", () => {
  assert.deepEqual(run("--size", "3", "--lr", "1", "--size=1", "--size", "3").options?.size, [3, 1, 3]);
  assert.deepEqual(run("--size", "3").options?.size, [3]);
  assert.equal(run().options?.size, undefined);
  assert.match(run("--size", "3", "--size", "x").output, /'--size <N>' argument 'x' is invalid/);
  assert.match(
    run("--help").output.replace(/\s+/g, " "),
    /sizes to draw \(a whole number, 1 or more; may be repeated\)/,
  );
  const command = new TaskCommand("train", "").flag("--size <N>", "", {
    value: integer(1),
    many: true,
    default: 4,
  });
  assert.deepEqual(command.read(["--size", "5"]), { size: [5] });
  const other = new TaskCommand("train", "").flag("--size <N>", "", {
    value: integer(1),
    many: true,
    default: 4,
  });
  assert.deepEqual(other.read([]), { size: [4] });
});

Deno.test("two paths of one name are refused, with what to do", () => {
  assert.deepEqual(run("--also", "runs/a/ema", "--also", "b=runs/b/ema").options?.also, [
    { name: "ema", path: "runs/a/ema" },
    { name: "b", path: "runs/b/ema" },
  ]);
  const { output, exitCode } = run("--also", "runs/a/ema", "--also", "runs/b/ema");
  assert.equal(exitCode, 2);
  assert.match(
    output,
    /'runs\/b\/ema' is invalid. The name ema is taken. Give one of runs\/a\/ema and runs\/b\/ema another name, as NAME=PATH/,
  );
});

Deno.test("help shows every flag with its default, unit and range once, and exits 0", () => {
  const { output, exitCode } = run("--help");
  assert.equal(exitCode, 0);
  const help = output.replace(/\s+/g, " ");
  assert.ok(help.includes("deno task train [options]"), help);
  assert.ok(
    help.includes("--epochs <N> passes over the data (a whole number, from 1 to 1000; default: 5)"),
    help,
  );
  assert.ok(help.includes("--lr <F> learning rate (a number, from 0 to 1; default: 0.0002)"), help);
  assert.ok(help.includes("--limit <N> use so many only (in images; a whole number, 1 or more)"), help);
  assert.equal(help.split("default: small").length, 2, help);
});

Deno.test("help fits the terminal, notes included, and has a fixed width elsewhere", () => {
  assert.equal(helpWidth({}), 110);
  assert.equal(helpWidth({ isTTY: false, columns: 90 }), 110);
  assert.equal(helpWidth({ isTTY: true, columns: 0 }), 110); // of unknown size
  assert.equal(helpWidth({ isTTY: true, columns: 90 }), 90);
  assert.equal(helpWidth({ isTTY: true, columns: 300 }), 110);
  assert.equal(helpWidth({ isTTY: true, columns: 20 }), 80);
  const long = "word ".repeat(60).trim();
  const command = new TaskCommand("train", "Trains.").configureHelp({ helpWidth: 90 })
    .flag("--name <TEXT>", long, { value: text() }).notes(`${long}\n\nexample:   kept  as it is`);
  let help = "";
  command.configureOutput({ writeOut: (text) => help += text }).outputHelp();
  const lines = help.split("\n");
  assert.equal(Math.max(...lines.map(({ length }) => length)), 89, help); // whole words of four letters
  assert.deepEqual(lines.slice(-3), ["", "example:   kept  as it is", ""]);
});

Deno.test("a message of the library names flags where a command line set the options", () => {
  const flags = { onNonFinite: "--on-non-finite", lr: "--lr", model: "--config" };
  const shown = (error: Error) => describeError(error, flags).message;
  assert.equal(shown(new ConfigError("lr", 2, "a number")), "error: --lr: expected a number, got 2");
  assert.equal(shown(new ConfigError("eps", 2, "less")), "error: eps: expected less, got 2");
  assert.equal(
    shown(new ConfigError("lr", 2, "null without `model`")),
    "error: --lr: expected no value without --config, got 2",
  );
  assert.equal(shown(new ConfigError("eps", 2, "null")), "error: eps: expected null, got 2");
  assert.equal(shown(new ConfigError("toString", 2, "less")), "error: toString: expected less, got 2");
  assert.equal(
    shown(
      new TrainingError('step 3: Resume with `onNonFinite: "skip"`, or a lower `lr` or `eps`; the model'),
    ),
    "error: step 3: Resume with --on-non-finite skip, or a lower --lr or `eps`; the model",
  );
});

Deno.test("faults of input show their message alone, bugs their stack", () => {
  assert.deepEqual(describeError(new DataError("a.bin: too short")), {
    exitCode: 1,
    message: "error: a.bin: too short",
  });
  assert.equal(describeError(new ConfigError("ema", 2, "a number below 1")).exitCode, 2);
  const bug = describeError(new TypeError("boom"));
  assert.equal(bug.exitCode, 1);
  assert.match(bug.message!, /TypeError: boom\n\s+at .*cli_test/);
  assert.equal(describeError("text").message, "error: text");
});
