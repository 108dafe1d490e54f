/** Headers of TypeScript modules and kernels: CONTRIBUTING.md, "English" and "Adding an operation". */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url);
const FOLDERS = ["bench", "bundle", "examples", "kernels", "lib", "server", "tasks", "tests"];

/** Required parts of a kernel's header, by a pattern that each must match. */
const KERNEL_HEADER: Readonly<Record<string, RegExp>> = {
  "an equation on an indented line": /^ {2,}\S.* = /m,
  "tensor shapes in brackets": /\[[A-Za-z][^\]]*\]/,
  "the thread mapping": /\b(?:invocation|workgroup)/,
  "the precision": /\b(?:float32|exact|copied)\b/,
  "whether outputs are written `=`, `+=` or in place": /`\+?=`|\bin place\b/,
};

/** Comment at the start of a file, without comment markers; empty if there is none. */
function headerOf(text: string): string {
  const [comment = ""] = /^(?:\/\*[\s\S]*?\*\/|(?:\/\/.*\n)+)/.exec(text) ?? [];
  return comment.replace(/^(?:\/\*\*?| ?\*(?!\/)|\/\/) ?|\s*\*\/$/gm, "").trim();
}

function isParaphrase(header: string): boolean {
  return /^(?:What|Which|How|Whether)\b/.test(header);
}

async function* filesIn(folder: string, extension: string): AsyncGenerator<string> {
  for await (const { name, isFile, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
    if (isDirectory) yield* filesIn(`${folder}/${name}`, extension);
    else if (isFile && name.endsWith(extension)) yield `${folder}/${name}`;
  }
}

async function readHeader(path: string): Promise<string> {
  return headerOf(await Deno.readTextFile(new URL(path, ROOT)));
}

Deno.test("headers are read from block and line comments, and paraphrases recognised", () => {
  assert.equal(
    headerOf("/**\n * How it works.\n *\n * @module\n */\nexport {};\n"),
    "How it works.\n\n@module",
  );
  assert.equal(headerOf("/** What it is. */\nconst a = 1;\n"), "What it is.");
  assert.equal(headerOf("// Sum.\n//\n//   y = a + b\n\n// later\n"), "Sum.\n\n  y = a + b");
  assert.equal(headerOf('import "./a.ts";\n/** Not a header. */\n'), "");
  assert.ok(isParaphrase("Which kernels a device uses"));
  assert.ok(!isParaphrase("Whatever; However"));
});

Deno.test("module headers do not begin with What, Which, How or Whether", async () => {
  const paths = [
    "mod.ts",
    ...(await Promise.all(FOLDERS.map((f) => Array.fromAsync(filesIn(f, ".ts"))))).flat(),
  ];
  const offenders: string[] = [];
  for (const path of paths) {
    const header = await readHeader(path);
    if (isParaphrase(header)) offenders.push(`${path}: ${header.split("\n")[0]}`);
  }
  assert.ok(paths.length > 300, `only ${paths.length} modules found`);
  assert.deepEqual(offenders, []);
});

Deno.test("kernels begin with equation, shapes, thread mapping, precision and write mode", async () => {
  const missing: string[] = [];
  for await (const path of filesIn("kernels", ".wgsl")) {
    const text = await Deno.readTextFile(new URL(path, ROOT));
    if (!text.includes("@compute")) continue; // an include
    const header = headerOf(text);
    for (const [part, pattern] of Object.entries(KERNEL_HEADER)) {
      if (!pattern.test(header)) missing.push(`${path}: ${part}`);
    }
  }
  assert.deepEqual(missing, []);
});
