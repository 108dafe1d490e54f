/**
 * Commands of the documents. Each is run, as a user in the project's folder would, on a few images and for a few steps; those that take
 * minutes even so are only parsed, and have tests of their own.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import project from "../../deno.json" with { type: "json" };
import { readDocument } from "../../tasks/docs/documents.ts";
import { SUITE } from "../../tasks/test.ts";
import { type Outcome, runTask } from "../support/command.ts";
import { allCommands, blocksOf, type DocumentCommand, DOCUMENTS, ROOT } from "../support/documents.ts";
import { withServeTask } from "../support/serve_task.ts";
import { makePng } from "../support/synthetic.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Values for flags that replace those of the document; null takes a flag away. */
type Changes = Readonly<Record<string, string | null>>;

/** A few steps of the smallest network. */
const SHORT_RUN: Changes = {
  "--preset": "tiny",
  "--limit": "16",
  "--batch": "4",
  "--steps": "2",
  "--epochs": null,
  "--sample-every": "0",
  "--data": "pets",
  "--size": "32",
};

/** Changes by task that make it quick. */
const QUICK: Readonly<Record<string, (args: readonly string[]) => Changes>> = {
  train: (args) => {
    if (args.includes("--resume")) return { "--steps": "3" };
    return args.includes("--init")
      ? { ...SHORT_RUN, "--preset": null, "--init": "checkpoints/cifar10-tiny" }
      : SHORT_RUN;
  },
  sample: (args) => ({ "--steps": "2", ...(args.includes("--class") && { "--count": "1" }) }),
  edit: (args) => ({ "--steps": "3", ...(args.includes("--frames") && { "--frames": "2" }) }),
  keys: () => ({}),
  init: () => ({}),
  export: (args) => ({ "--model": "checkpoints/cifar10-tiny", "--out": `exported/${args.at(-1)}` }),
  roofline: () => ({ "--out": "roofline.md" }),
};

/** Tasks whose commands are only parsed, as they take minutes. */
const PARSED = [
  "bench",
  "bench:serve",
  "bundle",
  "compile",
  "evaluate",
  "fetch",
  "quality",
  "train:classifier",
];

/** Programs other than tasks, and where they are tested. */
const ELSEWHERE: readonly [RegExp, string][] = [
  [/^sh tasks\/setup\.sh (?:train|test)$/, "tests/tasks/setup_test.ts"],
  [/^mpirun /, "tests/mpi/train_test.ts"],
  [/^sh carry\/start\.sh /, "tests/tasks/bundle_test.ts"],
  [/^bash \.ci\/run$/, ".ci/run"],
  [/^deno run -A jsr:@denoise\/ddpm\/cli /, "tests/package/published_test.ts"],
  [/^python3 -m http\.server --directory dist\/web /, "tests/web/page_test.ts"],
  [
    /^(?:(?:KEY=\$\()?sudo|git archive|promtool|echo "\$KEY") ?|^curl .*img\.example\.net|readyz$/,
    "tests/deploy/readme_test.ts",
  ],
  [/^podman /, "tests/deploy/service_test.ts"],
  [/^deno run -A examples\//, "tests/examples/examples_test.ts"],
];

const all = await allCommands();
const startingWith = (program: string) => all.filter(({ text }) => text.startsWith(program));
const tasks = startingWith("deno task ");

/** Words of a command, as a shell would split it; quotes may go around whole words. */
function wordsOf(text: string): string[] {
  return [...text.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) =>
    single ?? double ?? plain
  );
}

/** Arguments with other values for flags. */
function changed(args: readonly string[], changes: Changes): string[] {
  const kept: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (!(args[i] in changes)) kept.push(args[i]);
    else if (args[i + 1] !== undefined && !args[i + 1].startsWith("--")) i++;
  }
  return [
    ...kept,
    ...Object.entries(changes).flatMap(([flag, value]) => value === null ? [] : [flag, value]),
  ];
}

/** A folder that looks like the project's to a task, with the pictures that the documents name. */
async function prepare(directory: string): Promise<void> {
  await Deno.symlink(join(ROOT, "checkpoints"), join(directory, "checkpoints"));
  for (const name of ["cat.jpg", "a.png", "b.png"]) {
    await Deno.writeFile(join(directory, name), await makePng(40, 32, (x, y) => [x * 6, y * 7, 90]));
  }
  await Deno.writeFile(
    join(directory, "mask.png"),
    await makePng(40, 32, (x) => x < 20 ? [0, 0, 0] : [255, 255, 255]),
  );
  const [settings] = (await blocksOf("docs/training.md")).filter(({ language }) => language === "json");
  await Deno.writeTextFile(join(directory, "pets.json"), settings.code);
  for (const [name, blue] of [["cat", 0], ["dog", 200]] as const) {
    await Deno.mkdir(join(directory, "pets", name), { recursive: true });
    for (let i = 0; i < 10; i++) {
      const png = await makePng(32, 32, (x, y) => [x * i, y * 5, blue]);
      await Deno.writeFile(join(directory, "pets", name, `${i}.png`), png);
    }
  }
}

function succeeded({ code, out, err }: Outcome, { where, text }: DocumentCommand): void {
  assert.equal(code, 0, `${where}: ${text}\n${err}\n${out}`);
}

Deno.test("commands of the documents are of programs that a test knows", () => {
  const known = new Set(Object.keys(project.tasks));
  for (const { where, text } of all) {
    const [program, , task] = wordsOf(text);
    if (text.startsWith("deno task ")) assert.ok(known.has(task), `${where}: no task ${task}`);
    else {
      const tested = ["curl"].includes(program) || text.startsWith("deno run --config denoise/deno.json ") ||
        ELSEWHERE.some(([pattern, file]) => pattern.test(text) && Deno.statSync(join(ROOT, file)).isFile);
      assert.ok(tested, `${where}: nothing runs ${text}`);
    }
  }
  assert.ok(all.length > 40);
});

Deno.test("tests that the documents name are there", () => {
  for (const { where, text } of startingWith("deno task test")) {
    for (const path of wordsOf(text).slice(3).filter((word) => word.startsWith("tests/"))) {
      assert.ok(Deno.statSync(join(ROOT, path)), where);
    }
  }
});

Deno.test("commands of the documents that take minutes have flags and values that their tasks know", async () => {
  await inTemporaryDirectory(async (directory) => {
    const parsed = tasks.filter(({ text }) => PARSED.includes(wordsOf(text)[2]));
    assert.ok(parsed.length > 5);
    for (const { where, text } of parsed) {
      const [, , task, ...args] = wordsOf(text);
      // Unknown flags are reported after everything that is known has been checked.
      const { code, err } = await runTask(task.replace(":", "_"), [...args, "--only-parsed"], directory);
      assert.equal(code, 2, where);
      assert.match(err, /unknown option '--only-parsed'/, `${where}: ${text}`);
    }
  });
});

Deno.test("commands of the documents do what they say, on a few images", async (t) => {
  await inTemporaryDirectory(async (directory) => {
    await prepare(directory);
    // Tasks draw with the newest run unless told otherwise, so runs come last.
    const isTraining = ({ text }: DocumentCommand) => wordsOf(text)[2] === "train";
    for (const command of [...tasks.filter((command) => !isTraining(command)), ...tasks.filter(isTraining)]) {
      const [, , task, ...args] = wordsOf(command.text);
      const quick = QUICK[task];
      if (!quick) continue;
      await t.step(command.text, async () => {
        succeeded(await runTask(task, changed(args, quick(args)), directory), command);
      });
    }
  });
});

Deno.test("requests of the documents are answered by the server that they start", async (t) => {
  await inTemporaryDirectory(async (directory) => {
    await prepare(directory);
    const models = ["--model", "checkpoints/cifar10-tiny", "--model", "small=checkpoints/cifar10-tiny"];
    const args = [...models, "--jobs", "jobs.db"];
    await withServeTask(args, directory, async (address) => {
      const isElsewhere = ({ text }: DocumentCommand) => ELSEWHERE.some(([pattern]) => pattern.test(text));
      for (const command of startingWith("curl ").filter((command) => !isElsewhere(command))) {
        await t.step(command.text, async () => {
          const script = `set -eo pipefail; ${
            command.text.replaceAll("http://127.0.0.1:8000", address).replace(/^curl /, "curl --fail ")
          }`;
          const { success, stderr } = await new Deno.Command("bash", { args: ["-c", script], cwd: directory })
            .output();
          assert.ok(success, `${command.where}: ${new TextDecoder().decode(stderr)}`);
        });
      }
    });
    for (const name of ["cat.png", "dog.png"]) {
      assert.equal((await Deno.readFile(join(directory, name)))[1], 0x50, name);
    }
  }, { onDisk: true }); // Deno opens a database in memory's file system only with all permissions
});

Deno.test("programs in the documents that import the package run as documentation tests", async () => {
  const blocks = (await Promise.all(DOCUMENTS.map(blocksOf))).flat();
  const programs = blocks.filter(({ language, info }) => language === "ts" && info === "");
  assert.ok(programs.length > 0);
  for (const { document, line } of programs) assert.ok(SUITE.includes(document), `${document}:${line}`);
});

/** Programs that documentation tests ignore, as they import from a clone: changes that make each quick, and what it prints. */
const PROGRAMS: Readonly<
  Record<string, { readonly changes: readonly [string, string][]; readonly prints: RegExp }>
> = {
  "README.md": {
    changes: [["epochs: 5,", "epochs: 1, limit: 64, batch: 32, sampleEvery: 0,"], [
      "steps: 20,",
      "steps: 2,",
    ]],
    prints: /^1 0\.\d+ 0\.\d+$/m,
  },
  "docs/scale.md": {
    changes: [["accumulate: 4,", "accumulate: 2, batch: 16, epochs: 1, limit: 64, sampleEvery: 0,"]],
    prints: /^1 \d\.\d+$/m,
  },
  "docs/training.md": {
    changes: [["pets.zip", "pets"], ["steps: 3000,", "steps: 2, batch: 4, sampleEvery: 0,"]],
    prints: /^1 \d\.\d+$/m,
  },
};

Deno.test("programs in the documents that import from a clone train a model", async () => {
  const [{ text }] = startingWith("deno run --config denoise/deno.json ");
  assert.equal(wordsOf(text).at(-1), "cats.ts");
  const blocks = (await Promise.all(DOCUMENTS.map(blocksOf))).flat();
  const programs = blocks.filter(({ language, info }) => language === "ts" && info === "ignore");
  assert.deepEqual(programs.map(({ document }) => document).sort(), Object.keys(PROGRAMS).sort());
  // tests/package/published_test.ts runs the one that imports the published package
  const others = blocks.filter(({ info }) => info.startsWith("ignore ")).map(({ document, info }) =>
    `${document} ${info}`
  );
  assert.deepEqual(others, ["docs/package.md ignore jsr"]);
  await inTemporaryDirectory(async (directory) => {
    await prepare(directory);
    await Deno.symlink(ROOT, join(directory, "denoise"));
    for (const { document, code } of programs) {
      const { changes, prints } = PROGRAMS[document];
      const short = changes.reduce((program, [from, to]) => {
        assert.ok(program.includes(from), `${document}: ${from}`);
        return program.replace(from, to);
      }, code);
      await Deno.writeTextFile(join(directory, "cats.ts"), short);
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [...wordsOf(text).slice(1, -1), "--no-prompt", "cats.ts"],
        cwd: directory,
        env: { NO_COLOR: "1" },
      }).output();
      assert.ok(success, `${document}: ${new TextDecoder().decode(stderr)}`);
      assert.match(new TextDecoder().decode(stdout), prints, document);
    }
    assert.equal((await Deno.readFile(join(directory, "cats.png")))[1], 0x50);
  });
});

Deno.test("flags in the text of the documents are flags of the tasks beside them", async () => {
  const texts = await Promise.all(
    DOCUMENTS.map(async (document) => [document, await readDocument(ROOT, document)] as const),
  );
  const named = texts.flatMap(([document, text]) =>
    [...text.matchAll(/`deno task ([a-z:-]+)([^`]*)`/g)].map(([whole, task, rest]) => ({
      document,
      whole,
      task,
      rest,
    }))
  );
  const unnamed = ["format", "lint", "doc-lint", "types", "imports", "publish-check", "test", "gen"];
  for (const [task, of] of Map.groupBy(named, ({ task }) => task)) {
    assert.ok(task in project.tasks, `${of[0].document}: no task ${task}`);
    if (unnamed.includes(task)) continue;
    const { out } = await runTask(task.replaceAll(":", "_"), ["--help"], ROOT);
    const flags = new Set(out.match(/--[a-z][a-z0-9-]*/g));
    for (const { document, whole, rest } of of) {
      for (const flag of rest.match(/--[a-z][a-z0-9-]*/g) ?? []) {
        assert.ok(flags.has(flag), `${document}: ${whole}`);
      }
    }
  }
});
