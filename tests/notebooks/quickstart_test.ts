/** The notebook: its code, its stored outputs, and a run from top to bottom. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { executeNotebook } from "../../tasks/notebook/execute.ts";
import { type Notebook, readNotebook, textOf } from "../../tasks/notebook/notebook_file.ts";
import { ROOT } from "../support/documents.ts";
import { chunksOf, decodePng } from "../support/read_png.ts";
import { testsWith } from "../support/tools.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const FILE = join(ROOT, "notebooks/quickstart.ipynb");
const stored = await readNotebook(FILE);
const CONFIG = `--config=${join(ROOT, "deno.json")}`;

/** Kinds of a cell's outputs: `execute_result image/png text/plain`. */
type Kinds = Readonly<Record<string, readonly string[]>>;

const codeCells = ({ cells }: Notebook) => cells.filter(({ cell_type: type }) => type === "code");

/** Kinds of all outputs, by the cells' names. */
function kindsOf(notebook: Notebook): Kinds {
  return Object.fromEntries(
    codeCells(notebook).map(({ id = "", outputs = [] }) => [
      id,
      outputs.map(({ output_type: type, name = "", data = {} }) => {
        return [type, name, ...Object.keys(data).sort()].filter((word) => word !== "").join(" ");
      }),
    ]),
  );
}

/** The outputs of a cell, each as one text by media type, printed text as `text`. */
function outputsOf(notebook: Notebook, name: string): Record<string, string>[] {
  const cell = codeCells(notebook).find(({ id }) => id === name);
  assert.ok(cell, `no cell ${name}`);
  return (cell.outputs ?? []).map(({ text, data = {} }) => {
    const all = Object.entries({ ...data, ...(text === undefined ? {} : { text }) });
    return Object.fromEntries(all.map(([type, lines]) => [type, textOf(lines)]));
  });
}

/** Pictures in PNG of a cell. */
function picturesOf(notebook: Notebook, name: string) {
  return outputsOf(notebook, name).flatMap(({ "image/png": png }) =>
    png === undefined ? [] : [Uint8Array.fromBase64(png)]
  );
}

/** What the text promises of every run. */
function checkOutputs(notebook: Notebook): void {
  assert.deepEqual(kindsOf(notebook), {
    setup: ["stream stdout"],
    images: ["execute_result image/png text/plain"],
    data: ["execute_result image/png text/plain"],
    forward: ["execute_result image/png text/plain"],
    schedule: ["execute_result image/png"],
    fit: ["display_data image/png"], // replaced in place by every step's curve
    samples: ["execute_result image/png text/plain"],
    flow: ["display_data image/png"],
    "flow-samples": ["execute_result image/png text/plain"],
    reverse: ["execute_result text/html text/plain"],
    estimates: ["execute_result image/png text/plain"],
    drawn: ["execute_result image/png text/plain"],
    save: ["stream stdout", "execute_result image/png text/plain"],
    results: ["execute_result text/markdown"],
  });
  for (const { id = "" } of codeCells(notebook)) {
    for (const png of picturesOf(notebook, id)) {
      assert.ok(new Set(decodePng(png).rgb).size > 16, `${id}: a blank picture`);
    }
  }
  const [{ "text/html": html }] = outputsOf(notebook, "reverse");
  const gif = Uint8Array.fromBase64(/src="data:image\/gif;base64,([^"]+)"/.exec(html)![1]);
  assert.equal(new TextDecoder().decode(gif.subarray(0, 6)), "GIF89a");
  assert.equal(outputsOf(notebook, "reverse")[0]["text/plain"], "animation of 15 frames");
  const rows = outputsOf(notebook, "results")[0]["text/markdown"].trim().split("\n").slice(2);
  for (const row of rows) {
    const [objective, steps, ...losses] = row.split("|").slice(1, -1).map((text) => text.trim());
    assert.equal(steps, "360", objective);
    const [firstTraining, training, firstValidation, validation] = losses.map(Number);
    assert.ok(training < 0.6 * firstTraining && validation < 0.8 * firstValidation, row);
  }
  assert.deepEqual(rows.map((row) => row.split("|")[1].trim()), ["noise", "direction (flow)"]);
  const [{ text }] = outputsOf(notebook, "save");
  assert.match(text, /753939 weights[^]*unet[^]*class: "ship",\s+seed: 1,/);
  const drawnWith = decodePng(picturesOf(notebook, "save")[0]).text;
  assert.equal(drawnWith.class, "ship");
  // Sky and water: the second objective's airplanes and ships are blue, its animals are not. The first one's all are grey.
  const [airplane, , ...others] = bluenessOf(notebook, "flow-samples");
  const [ship, animals] = [others[6], others.slice(0, 6)];
  assert.ok(Math.min(airplane, ship) > 15 + Math.max(...animals), `${airplane} ${ship} ${animals}`);
  for (const blueness of bluenessOf(notebook, "samples")) assert.ok(Math.abs(blueness) < 15, `${blueness}`);
}

/** Mean difference of blue and red, in bytes, of each row of a grid of samples: eight images of 64 pixels, 2 between. */
function bluenessOf(notebook: Notebook, name: string): number[] {
  const { width, rgb } = decodePng(picturesOf(notebook, name)[0]);
  const pitch = 64 + 2;
  return Array.from({ length: 10 }, (_, row) => {
    let sum = 0;
    for (let y = row * pitch + 2; y < (row + 1) * pitch; y++) {
      for (let x = width - 8 * pitch; x < width; x++) {
        sum += rgb[3 * (y * width + x) + 2] - rgb[3 * (y * width + x)];
      }
    }
    return sum / (8 * 64 * 64); // what is between is white, of difference 0
  });
}

Deno.test("the notebook's cells have types, and are formatted as the project's code is", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cells = codeCells(stored).map(({ source }) => textOf(source));
    const files: string[] = [];
    for (const [i, code] of cells.entries()) {
      files.push(join(directory, `cell_${i}.ts`));
      await Deno.writeTextFile(files[i], code + "\n");
    }
    const program = cells.join("\n").replace(
      'from "../mod.ts"',
      `from ${JSON.stringify(join(ROOT, "mod.ts"))}`,
    );
    await Deno.writeTextFile(join(directory, "all.ts"), program + "\nexport {};\n");
    for (const args of [["fmt", CONFIG, "--check", ...files], ["check", CONFIG, join(directory, "all.ts")]]) {
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args,
        env: { NO_COLOR: "1" },
      }).output();
      assert.ok(success, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr));
    }
  });
});

Deno.test("the notebook's stored outputs are those of a run, small, and without traces of a machine", async () => {
  checkOutputs(stored);
  const text = await Deno.readTextFile(FILE);
  assert.ok(text.length < 3e6, `${text.length} bytes`);
  assert.doesNotMatch(text, /"execution":|\/home\/|\/root\/|\/tmp\/|file:\/\/|\\u001b/);
  codeCells(stored).forEach((cell, i) => {
    assert.equal((cell as { execution_count?: number }).execution_count, i + 1, "run in order, once");
  });
});

Deno.test("pictures in the notebook are whole files", () => {
  for (const { id = "" } of codeCells(stored)) {
    for (const png of picturesOf(stored, id)) assert.equal(chunksOf(png).at(-1)?.type, "IEND", id);
  }
});

const notebookTest = testsWith(["jupyter-nbconvert"]);

notebookTest("the notebook runs from top to bottom, and gives what its text says", async () => {
  const start = performance.now();
  const executed = await executeNotebook(FILE);
  console.log(`${((performance.now() - start) / 1000).toFixed()} s`);
  checkOutputs(executed);
});
