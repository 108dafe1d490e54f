import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { Ajv } from "ajv";
import { ConfigError } from "../../lib/errors.ts";
import { argumentsWithoutFile, describeError, TaskCommand } from "../../terminal/cli.ts";
import { schemaReference } from "../../terminal/settings_schema.ts";
import { integer, list, namedPath, number, oneOf, path, text } from "../../terminal/values.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** A made-up task with a flag of each kind. */
function birds(): TaskCommand {
  return new TaskCommand("birds", "Draws birds.").configureOutput({ writeErr: () => {} })
    .flag("--count <N>", "birds to draw", { value: integer(1, 9), unit: "birds", default: 2 })
    .flag("--wing-span <F>", "width of them", { value: number(0), defaultText: "as wide as they are" })
    .flag("--kind <NAME>", "which of them", { value: oneOf(["wren", "owl"]), conflicts: ["kinds"] })
    .flag("--kinds <LIST>", "several of them", { value: list(text(), "names, separated by commas") })
    .flag("--out <FILE>", "picture", { value: path(), default: "birds.png" })
    .flag("--nest <[NAME=]PATH>", "where they live", { value: namedPath(), many: true })
    .flag("--log [FILE]", "write what happens", { value: path() })
    .flag("--now <WORD>", "what to do now", { value: text(), form: null })
    .switch("--fast", "hurry")
    .settingsFile({ name: "birds" });
}

/** What the made-up task reads of a settings file and flags. */
async function read(directory: string, file: string | object, ...args: string[]): Promise<object> {
  const path = join(directory, "birds.json");
  await Deno.writeTextFile(path, typeof file === "string" ? file : JSON.stringify(file, null, 2));
  return birds().read<object>(["--settings", path, ...args]);
}

/** Message of the error that a settings file ends with, its path shortened; the exit code is 2. */
async function refused(directory: string, file: string | object, ...args: string[]): Promise<string> {
  try {
    await read(directory, file, ...args);
  } catch (error) {
    const { exitCode, message } = describeError(error);
    assert.equal(exitCode, 2);
    return message!.replaceAll(`${directory}/`, "").replace(/^error: /, "");
  }
  throw new Error("the file was taken");
}

Deno.test("a settings file holds values of flags, comments and a byte-order mark", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = `\ufeff{
      "$schema": "https://example.org/birds.json",
      "count": 3, // of them
      "wingSpan": 2e-1, "kinds": ["wren", "owl"], "out": "a/b.png",
      "nest": ["tree=oak", "/barn"], /* two */ "log": true, "fast": true,
    }`;
    assert.deepEqual(await read(directory, file), {
      ...{ count: 3, wingSpan: 0.2, kinds: ["wren", "owl"], out: join(directory, "a/b.png") },
      nest: [{ name: "tree", path: join(directory, "oak") }, { name: "barn", path: "/barn" }],
      ...{ log: true, fast: true },
    });
    const few = { fast: false, log: false, nest: "oak" };
    assert.deepEqual(await read(directory, few), {
      ...{ count: 2, out: "birds.png", nest: [{ name: "oak", path: join(directory, "oak") }] },
    });
  });
});

Deno.test("flags replace what a settings file says of them, and of flags that they exclude", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = { count: 3, kind: "owl", out: "a.png", nest: ["a", "b"] };
    assert.deepEqual(await read(directory, file, "--count", "4", "--kinds", "wren", "--nest", "c"), {
      ...{ count: 4, kinds: ["wren"], out: join(directory, "a.png"), nest: [{ name: "c", path: "c" }] },
    });
  });
});

Deno.test("a wrong settings file is refused with the line and what is allowed", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string | object, string][] = [
      [{ count: 0 }, "birds.json:2: count: 0 is invalid. Allowed: a whole number, from 1 to 9."],
      [
        { fast: true, count: "3" },
        'birds.json:3: count: "3" is invalid. Allowed: a whole number, from 1 to 9.',
      ],
      [{ kind: "owls" }, 'birds.json:2: kind: "owls" is invalid. Allowed: wren, owl. (did you mean owl?)'],
      [{ kinds: "owl" }, 'birds.json:2: kinds: "owl" is invalid. Allowed: names, separated by commas.'],
      [{ fast: "yes" }, 'birds.json:2: fast: "yes" is invalid. Allowed: true or false.'],
      [{ nest: [] }, "birds.json:2: nest: [] is invalid. Allowed: any path, with a name where"],
      [{ nest: ["a", "b/a"] }, 'birds.json:2: nest: ["a","b/a"] is invalid. The name a is taken.'],
      [{ counts: 3 }, "birds.json:2: counts: no setting of deno task birds (did you mean count?)"],
      [
        { "--wing-span": 3 },
        "birds.json:2: --wing-span: no setting of deno task birds (did you mean wingSpan?)",
      ],
      [{ epochs: 3 }, "birds.json:2: epochs: no setting of deno task birds"],
      [{ settings: "b.json" }, "birds.json:2: settings: belongs on the command line, as --settings"],
      [{ now: "x" }, "birds.json:2: now: belongs on the command line, as --now"],
      [{ kind: "owl", kinds: ["owl"] }, "birds.json:3: kinds: cannot be used with kind in line 2"],
      ['{ "count": 1,\n"count": 2 }', "birds.json:2: count: given twice, also in line 1"],
      ['{\n"count" 1 }', "birds.json:2: not JSON: colon expected"],
      ['{ "count": 1', "birds.json:1: not JSON: close brace expected"],
      ["[1]", "birds.json: expected a JSON object of settings"],
      ["", "birds.json:1: not JSON: value expected"],
    ];
    for (const [file, message] of cases) {
      const text = await refused(directory, file);
      assert.ok(text.startsWith(message), `${text}\n${message}`);
    }
    const missing = describeError(attempt(() => birds().read(["--settings", join(directory, "none.json")])));
    assert.match(missing.message!, /^error: --settings: expected a JSON file of settings \(.*none\.json/);
    await Deno.writeFile(join(directory, "bytes.json"), Uint8Array.of(0x7b, 0xff, 0x7d));
    const bytes = describeError(attempt(() => birds().read(["--settings", join(directory, "bytes.json")])));
    assert.match(bytes.message!, /\(it is not UTF-8\)/);
  });
});

function attempt(body: () => unknown): unknown {
  try {
    return body();
  } catch (error) {
    return error;
  }
}

Deno.test("a later error about a setting names its place in the file, unless a flag gave it", async () => {
  await inTemporaryDirectory(async (directory) => {
    const message = (name: string) =>
      describeError(new ConfigError(name, 3, "less"), { wide: "--wing-span" }).message!.replace(
        directory,
        "",
      );
    const file = { wingSpan: 3, count: 3 };
    await read(directory, file);
    assert.equal(message("wide"), "error: /birds.json:2: wingSpan: expected less, got 3");
    assert.equal(message("count"), "error: /birds.json:3: count: expected less, got 3");
    assert.equal(message("--count"), "error: /birds.json:3: count: expected less, got 3");
    assert.equal(message("kind"), "error: kind: expected less, got 3");
    await read(directory, file, "--wing-span", "4");
    assert.equal(message("wide"), "error: --wing-span: expected less, got 3");
    birds().read([]);
    assert.equal(message("count"), "error: count: expected less, got 3");
  });
});

Deno.test("printed settings are a settings file of the same settings, whatever its folder", async () => {
  const commands = [
    [],
    ["--count", "3", "--kind", "owl", "--fast", "--out", "a.png"],
    ["--kinds", "wren,owl", "--nest", "a=b", "--nest", "/c", "--wing-span", "0.5", "--log"],
    ["--log", "log.txt"],
  ];
  const validate = new Ajv({ strict: true, keywords: ["allowComments", "allowTrailingCommas"] })
    .compile(birds().settingsSchema());
  await inTemporaryDirectory(async (directory) => {
    for (const args of commands) {
      const command = birds();
      const given = absolute(command.read(args));
      const printed = command.printedSettings(true);
      assert.ok(validate(JSON.parse(printed)), JSON.stringify(validate.errors));
      assert.deepEqual(await read(directory, printed), given, printed);
      const again = birds();
      again.read(["--settings", join(directory, "birds.json")]);
      assert.equal(again.printedSettings("json"), printed);
    }
  });
});

/** The same values with absolute paths. */
function absolute(values: Record<string, unknown>): object {
  const { out, log, nest, ...rest } = values;
  return {
    ...rest,
    ...{ out: resolve(out as string) },
    ...typeof log === "string" ? { log: resolve(log) } : log === undefined ? {} : { log },
    ...nest
      ? { nest: (nest as { name: string; path: string }[]).map((n) => ({ ...n, path: resolve(n.path) })) }
      : {},
  };
}

Deno.test("--print-settings=sources says where each setting is from", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "birds.json");
    await Deno.writeTextFile(file, '{\n"fast": true,\n"out": "a.png" }');
    const command = birds();
    command.read(["--settings", file, "--count", "3"]);
    const place = (line: number) => `${file}:${line}`;
    const blank = (source: string) => source.padEnd(file.length + 2);
    assert.equal(
      command.printedSettings("sources"),
      [
        `count     ${blank("flag")}  3`,
        `wingSpan  ${blank("default")}  as wide as they are`,
        `kind      ${blank("default")}  none`,
        `kinds     ${blank("default")}  none`,
        `out       ${blank(place(3))}  "${join(directory, "a.png")}"`,
        `nest      ${blank("default")}  none`,
        `log       ${blank("default")}  none`,
        `fast      ${blank(place(2))}  true`,
        "",
      ].join("\n"),
    );
  });
});

Deno.test("a command line without the settings file says the same", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = { count: 3, kinds: ["wren", "owl"], nest: ["a", "/b"], log: true, fast: true, out: "a.png" };
    const args = ["--kind", "owl", "--settings", join(directory, "birds.json"), "--wing-span=2"];
    const given = await read(directory, file, ...["--kind", "owl", "--wing-span=2"]);
    const words = argumentsWithoutFile(args);
    assert.deepEqual(words.slice(0, 5), ["--kind", "owl", "--wing-span=2", "--count", "3"]);
    assert.deepEqual(birds().read(words), given);
    assert.deepEqual(argumentsWithoutFile(["--settings=a.json", "--fast"]), ["--fast"]);
  });
});

Deno.test("a settings file refers to its schema from its folder, or to the published one", () => {
  const root = resolve(import.meta.dirname!, "../..");
  assert.equal(schemaReference("train", root), "./schemas/train.json");
  assert.equal(schemaReference("train", join(root, "runs/birds")), "../../schemas/train.json");
  assert.equal(schemaReference("train"), new URL("../../schemas/train.json", import.meta.url).href);
});
