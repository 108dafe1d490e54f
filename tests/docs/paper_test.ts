import assert from "node:assert/strict";
import { citationsIn, declares, isCited, readPaper } from "../support/paper.ts";

const ROOT = new URL("../../", import.meta.url);
const rows = readPaper(await Deno.readTextFile(new URL("docs/paper.md", ROOT)));

for (const [file, of] of Map.groupBy(rows, ({ file }) => file)) {
  Deno.test(`docs/paper.md tells the truth about ${file}`, async () => {
    const text = await Deno.readTextFile(new URL(file, ROOT));
    for (const { paper, line, says, symbols } of of) {
      const where = `${paper}, ${line || says}`;
      for (const symbol of symbols) {
        assert.ok(declares(text, file, symbol), `${where}: ${file} declares no ${symbol}`);
      }
      if (line === "") continue;
      assert.notEqual(
        citationsIn(line).size,
        0,
        `${where}: "${line}" names no equation, algorithm or section`,
      );
      assert.ok(isCited(text, paper), `${where}: no comment in ${file} names ${paper}`);
      for (const citation of citationsIn(line)) {
        assert.ok(citationsIn(text).has(citation), `${where}: no comment in ${file} cites ${citation}`);
      }
    }
  });
}

Deno.test("docs/paper.md has every line of both algorithms and the equations of the method", () => {
  const covered = new Set(rows.map(({ paper, line }) => `${paper}: ${line}`));
  const ho = [
    ...[2, 4, 6, 7, 11, 14, 15].map((n) => `equation ${n}`),
    ...[1, 2, 3, 4, 5, 6].flatMap((n) => [`algorithm 1, line ${n}`, `algorithm 2, line ${n}`]),
    "appendix B",
  ].map((line) => `Ho et al. 2020: ${line}`);
  const others = [
    "Song et al. 2021: equation 12",
    "Song et al. 2021: equation 16",
    "Ho and Salimans 2022: equation 6",
  ];
  for (const line of [...ho, ...others]) assert.ok(covered.has(line), line);
});

Deno.test("a symbol that is renamed, or only mentioned, is not declared", () => {
  const ts =
    "export function posterior(a: number) {}\nclass Run {\n  async *events(): X {\n  }\n  readonly betas: Y;\n}\n";
  for (const symbol of ["posterior", "Run", "Run.events", "Run.betas"]) {
    assert.ok(declares(ts, "a.ts", symbol), symbol);
  }
  for (const symbol of ["poster", "posterior2", "events", "Run.event", "Walk.events", "a"]) {
    assert.ok(!declares(ts, "a.ts", symbol), symbol);
  }
  assert.ok(!declares("// function posterior(a)\nposterior(1);\n", "a.ts", "posterior"));
  const wgsl = "struct Draw {\n  image: u32,\n}\n@compute\nfn draw(\n) {}\n// fn gone() {}\n";
  for (const symbol of ["Draw", "draw"]) assert.ok(declares(wgsl, "a.wgsl", symbol), symbol);
  for (const symbol of ["image", "gone", "dra"]) assert.ok(!declares(wgsl, "a.wgsl", symbol), symbol);
});

Deno.test("citations are found in lists, across lines of a comment, and nowhere else", () => {
  const text =
    "/**\n * Equations 6\n * and 7, sections 3.2 and 4.\n */\n// algorithm 1, lines 2 and 3 (Ho & Salimans\n// 2022)\n" +
    'const x = "equation 9";\n';
  assert.deepEqual(
    [...citationsIn(text)].sort(),
    [
      "algorithm 1",
      "algorithm 1, line 2",
      "algorithm 1, line 3",
      "equation 6",
      "equation 7",
      "section 3.2",
      "section 4",
    ],
  );
  assert.deepEqual([...citationsIn("algorithm 1, lines 2 to 4")], [
    "algorithm 1",
    ...[2, 3, 4].map((line) => `algorithm 1, line ${line}`),
  ]);
  assert.ok(isCited(text, "Ho and Salimans 2022"));
  assert.ok(!isCited(text, "Ho et al. 2020"));
});
