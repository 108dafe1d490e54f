import assert from "node:assert/strict";
import { expandIncludes, generate, generateLayouts } from "../../tasks/gen.ts";
import { templateLiteral } from "../../tasks/template_literal.ts";

const COPY = `struct Params { n: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
// include: helper.wgsl
@compute @workgroup_size(64)
fn forward() { y[0] = twice(x[0]); } // a \`quoted\` \${word} and \\n
@compute @workgroup_size(64)
fn backward() {}
`;
const HELPER = "fn twice(v: f32) -> f32 { return v + v; }\n";

async function load(source: string): Promise<Record<string, Record<string, unknown>>> {
  return await import(`data:text/typescript,${encodeURIComponent(source)}`);
}

Deno.test("generated constants hold the expanded text and what it declares, byte for byte", async () => {
  const files = new Map([["copy.wgsl", COPY], ["helper.wgsl", HELPER]]);
  const { copyKernel: copy, ...others } = await load(generate(files));
  assert.deepEqual(others, {});
  assert.equal(copy.name, "copy");
  assert.equal(copy.code, COPY.replace("// include: helper.wgsl", HELPER.trimEnd()));
  assert.deepEqual(copy.bindings, {
    x: { binding: 1, access: "read" },
    y: { binding: 2, access: "read_write" },
  });
  assert.deepEqual(copy.params, { n: "u32", scale: "f32" });
  assert.deepEqual(copy.entryPoints, ["forward", "backward"]);
});

Deno.test("structs of records become layouts with fields in order, and u32 constants numbers", async () => {
  const files = new Map([
    [
      "records/pair.wgsl",
      `// struct Old { gone: u32 }
struct Pair {
  first_word: u32, // counts: from 0 }
  // alone on its line
  x0_weight: f32,
}
const NONE = 0xffffffffu;
const SCALE = 2.5;
fn pair_of(a: u32) -> Pair { return Pair(a, 0.0); }
`,
    ],
    ["kernel.wgsl", "struct Params { n: u32 }\nstruct Place { x: vec2u }\n"],
  ]);
  const text = generateLayouts(files);
  const { default: _, ...exported } = await load(text);
  assert.deepEqual({ ...exported }, {
    PairLayout: {
      name: "Pair",
      bytes: 8,
      fields: { firstWord: { type: "u32", offset: 0 }, x0Weight: { type: "f32", offset: 4 } },
    },
    NONE: 0xffffffff,
  });
  assert.match(text, /\/\*\* counts: from 0 } \*\/\n {4}firstWord/);
});

Deno.test("a record with a field that is no scalar is refused by name", () => {
  const files = new Map([["records/pair.wgsl", "struct Pair { a: u32, b: vec2<f32> }"]]);
  assert.throws(
    () => generateLayouts(files),
    { message: 'records/pair.wgsl: Pair holds scalar fields only, not "b: vec2<f32>"' },
  );
});

Deno.test("the generated text does not depend on the order of the files", () => {
  const files: [string, string][] = [["b.wgsl", COPY], ["a.wgsl", COPY], ["helper.wgsl", HELPER]];
  const text = generate(new Map(files));
  assert.equal(generate(new Map(files.toReversed())), text);
  assert.ok(text.indexOf("const aKernel =") < text.indexOf("const bKernel ="));
});

Deno.test("template literals evaluate to the text they quote", () => {
  for (
    const text of ["", "`", "${x}", "$", "\\", "\\`", "\\${", "$${a}", "line\r\nline\n", "\\u0041", "µ²"]
  ) {
    assert.equal(new Function(`return ${templateLiteral(text)}`)(), text);
  }
});

Deno.test("a file is included once, also through other includes and in a circle", () => {
  const files = new Map([
    ["top.wgsl", "// include: a.wgsl\n// include: b.wgsl\nend"],
    ["a.wgsl", "// include: b.wgsl\nA\n"],
    ["b.wgsl", "// include: a.wgsl\nB\n"],
  ]);
  assert.equal(expandIncludes("top.wgsl", files).split(/\s+/).join(" ").trim(), "B A end");
});

Deno.test("wrong includes and names are errors that name both files", () => {
  const missing = new Map([["copy.wgsl", COPY]]);
  assert.throws(() => generate(missing), /copy\.wgsl: includes helper\.wgsl, which is not in kernels/);
  const kernel = new Map([["copy.wgsl", COPY], ["helper.wgsl", "@compute fn main() {}"]]);
  assert.throws(() => generate(kernel), /copy\.wgsl: includes helper\.wgsl, which is a kernel of its own/);
  assert.throws(() => generate(new Map([["group-norm.wgsl", HELPER]])), /group-norm\.wgsl: a kernel's name/);
});

Deno.test("an entry point in a comment does not make a kernel", () => {
  assert.ok(!generate(new Map([["notes.wgsl", "// no @compute here\nconst a = 1;\n"]])).includes("notes"));
});
