/** `deno task notebook`, and notebooks as files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { notebookMarkdown } from "../../tasks/notebook/markdown.ts";
import {
  encodeNotebook,
  type Notebook,
  type NotebookCell,
  readNotebook,
  textOf,
  withoutTraces,
} from "../../tasks/notebook/notebook_file.ts";
import { runTask } from "../support/command.ts";
import { testsWith } from "../support/tools.ts";
import { inTemporaryDirectory, treeOf } from "../support/train/directories.ts";

const cell = (source: string, more: Partial<NotebookCell> = {}): NotebookCell => {
  return { cell_type: "code", metadata: {}, source, outputs: [], ...more };
};

const notebookOf = (cells: NotebookCell[]): Notebook => ({
  cells: cells.map((one, i) => ({ execution_count: null, id: `cell-${i}`, ...one })),
  metadata: { kernelspec: { name: "deno", display_name: "Deno", language: "typescript" } },
  nbformat: 4,
  nbformat_minor: 5,
});

Deno.test("a notebook becomes Markdown with its outputs", () => {
  const markdown = notebookMarkdown(notebookOf([
    cell("# Title\n\n$x$", { cell_type: "markdown", outputs: undefined }),
    cell("draw();", {
      outputs: [
        { output_type: "stream", name: "stdout", text: ["one\n", "two\n"] },
        { output_type: "display_data", data: { "image/png": "iVBOR\n", "text/plain": "a picture" } },
        {
          output_type: "execute_result",
          data: {
            "text/html": '<img alt="moving" src="data:image/gif;base64,R0lG">',
            "text/plain": "moving",
          },
        },
        { output_type: "execute_result", data: { "text/markdown": "\n| a |\n| - |\n" } },
        { output_type: "execute_result", data: { "text/html": "<b>", "text/plain": "bold" } },
        { output_type: "error", ename: "TypeError", evalue: "no" },
      ],
    }),
  ]));
  const code = (text: string, info = "text") => `\`\`\`${info}\n${text}\n\`\`\``;
  assert.equal(
    markdown,
    [
      ...["# Title\n\n$x$", code("draw();", "ts cell"), code("one\ntwo")],
      ...["![a picture](data:image/png;base64,iVBOR)", "![moving](data:image/gif;base64,R0lG)"],
      ...["| a |\n| - |", code("bold"), code("TypeError: no")],
    ].join("\n\n") + "\n",
  );
});

Deno.test("times, versions and the pieces of printed text are left out of a notebook, other metadata is kept", () => {
  const printed = (text: string, name = "stdout") => ({ output_type: "stream", name, text } as const);
  const outputs = [printed("a\nb"), printed("c\n"), printed("d\n", "stderr"), printed("e\n")];
  const { metadata, ...rest } = notebookOf([
    cell("1", { metadata: { execution: { at: "now" }, tags: ["a"] }, outputs }),
  ]);
  const language_info = { name: "typescript", version: "6.0.3" };
  const { cells, metadata: left } = withoutTraces({ ...rest, metadata: { ...metadata, language_info } });
  assert.deepEqual(cells[0].metadata, { tags: ["a"] });
  assert.deepEqual(cells[0].outputs, [{ ...outputs[0], text: ["a\n", "bc\n"] }, outputs[2], outputs[3]]);
  assert.deepEqual(left, { ...metadata, language_info: { name: "typescript" } });
});

Deno.test("a file that is no notebook is named", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const text of ["no JSON", "{}", '{"cells":[],"nbformat":3}']) {
      const file = join(directory, "a.ipynb");
      await Deno.writeTextFile(file, text);
      await assert.rejects(
        readNotebook(file),
        (error) => error instanceof DataError && /a\.ipynb/.test(error.message),
      );
    }
  });
});

Deno.test("deno task notebook says what is missing without Jupyter", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "a.ipynb"), encodeNotebook(notebookOf([cell("1")])));
    const { code, err } = await runTask("notebook", ["--notebook", "a.ipynb"], directory, {
      PATH: directory,
    });
    assert.equal(code, 1);
    assert.match(
      err,
      /^error: jupyter-nbconvert was not found; on Debian and Ubuntu: apt-get install jupyter-nbconvert /,
    );
  });
});

const notebookTest = testsWith(["jupyter-nbconvert"]);

notebookTest("deno task notebook stores outputs, and leaves the user's kernels alone", async () => {
  await inTemporaryDirectory(async (directory) => {
    const notebook = notebookOf([
      cell("let a: number = 20;\nconsole.log(Deno.cwd());"),
      cell(
        'await Deno.jupyter.display({ [Symbol.for("Jupyter.display")]: () => ({ "text/plain": `${++a}` }) }, { display_id: "x" });',
      ),
      cell(
        'await Deno.jupyter.display({ [Symbol.for("Jupyter.display")]: () => ({ "text/plain": `${++a}` }) }, { display_id: "x", update: true });\n2 * a;',
      ),
    ]);
    await Deno.mkdir(join(directory, "work"));
    await Deno.mkdir(join(directory, "home"));
    const file = join(directory, "work/a.ipynb");
    await Deno.writeTextFile(file, encodeNotebook(notebook));
    const home = {
      HOME: join(directory, "home"),
      XDG_DATA_HOME: undefined,
      DENO_DIR: Deno.env.get("DENO_DIR"),
    };
    const env = Object.fromEntries(
      Object.entries(home).filter((one): one is [string, string] => one[1] !== undefined),
    );
    const { code, out, err } = await runTask(
      "notebook",
      ["--notebook", file, "--out", "b.ipynb"],
      directory,
      env,
    );
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /^b\.ipynb: 3 cells in \d+ s\n$/);
    assert.deepEqual(await readNotebook(file), notebook, "the notebook itself is as it was");
    const { cells } = await readNotebook(join(directory, "b.ipynb"));
    assert.equal(textOf(cells[0].outputs![0].text!), `${await Deno.realPath(join(directory, "work"))}\n`);
    assert.equal(textOf(cells[1].outputs![0].data!["text/plain"]), "22", "replaced in place");
    assert.match(textOf(cells[2].outputs!.at(-1)!.data!["text/plain"]), /44/);
    const left = Object.keys(await treeOf(join(directory, "home"))).filter((path) =>
      /jupyter|kernel/i.test(path)
    );
    assert.deepEqual(left, []);
  });
});

notebookTest("deno task notebook names the cell that fails, and leaves the notebook as it was", async () => {
  await inTemporaryDirectory(async (directory) => {
    const text = encodeNotebook(notebookOf([cell("1"), cell('throw new TypeError("as meant");')]));
    await Deno.writeTextFile(join(directory, "a.ipynb"), text);
    const { code, err } = await runTask("notebook", ["--notebook", "a.ipynb"], directory);
    assert.equal(code, 1);
    assert.match(
      err,
      /^error: An error occurred while executing the following cell:[^]*throw new TypeError[^]*as meant/,
    );
    assert.equal(await Deno.readTextFile(join(directory, "a.ipynb")), text);
  });
});
