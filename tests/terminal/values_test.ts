import assert from "node:assert/strict";
import { Ajv } from "ajv";
import {
  checked,
  fromJson,
  integer,
  list,
  namedPath,
  number,
  numbers,
  oneOf,
  path,
  text,
  type Value,
} from "../../terminal/values.ts";

Deno.test("a range may leave out its ends", () => {
  const cases = [
    [number(0, 1, { above: true }), ["0", "-1"], ["1", "1e-9"], "a number, above 0 and at most 1"],
    [number(0, 1, { below: true }), ["1"], ["0", "0.999"], "a number, from 0 to below 1"],
    [number(0, 1, { above: true, below: true }), ["0", "1"], ["0.5"], "a number, above 0 and below 1"],
    [number(2, Infinity, { above: true }), ["2"], ["2.1"], "a number, above 2"],
  ] as const;
  for (const [value, refused, taken, allowed] of cases) {
    assert.equal(value.allowed, allowed);
    for (const text of refused) assert.throws(() => value.parse(text), { message: `Allowed: ${allowed}.` });
    for (const text of taken) assert.equal(value.parse(text), Number(text));
  }
});

Deno.test("a path may have a name, which otherwise is its last part", () => {
  const named = (text: string) => namedPath().parse(text);
  for (
    const [text, name, path] of [
      ["runs/cats", "cats", "runs/cats"],
      ["runs/cats/", "cats", "runs/cats/"],
      ["/a/My run (2)", "My-run-2", "/a/My run (2)"],
      ["dogs=runs/cats", "dogs", "runs/cats"],
      ["v1.2_x-Y=runs/a=b", "v1.2_x-Y", "runs/a=b"],
      ["./a=b", "a-b", "./a=b"],
      ["/runs/a=b", "a-b", "/runs/a=b"],
      [
        "https://example.org/google/ddpm-cat%20256/?a=b",
        "ddpm-cat-256",
        "https://example.org/google/ddpm-cat%20256/?a=b",
      ],
      ["https://example.org/50%", "50", "https://example.org/50%"],
      ["cat=https://example.org/a?b=c", "cat", "https://example.org/a?b=c"],
      ["/", "model", "/"],
      [`/${"a".repeat(70)}`, "a".repeat(64), `/${"a".repeat(70)}`],
    ] as const
  ) {
    assert.deepEqual(named(text), { name, path });
  }
  assert.equal(named("lib/gpu/..").name, "lib");
  for (const text of ["", "=a", "a=", "-a=b", ".=b", "a b=c", "ä=b", `${"a".repeat(65)}=b`]) {
    assert.throws(() => named(text), /Allowed: PATH or NAME=PATH, with a NAME of 1 to 64 letters/, text);
  }
});

Deno.test("a word that is nearly one of those allowed is asked after", () => {
  const preset = oneOf(["tiny", "small", "ddpm"]);
  assert.throws(() => preset.parse("smal"), { message: "Allowed: tiny, small, ddpm. (did you mean small?)" });
  assert.throws(() => preset.parse("huge"), { message: "Allowed: tiny, small, ddpm." });
});

/** The value of JSON in a settings file of `folder`, or why it is refused. */
function read<T>(value: Value<T>, json: unknown, folder = "."): unknown {
  try {
    return fromJson(value, json, folder);
  } catch (error) {
    return (error as Error).message;
  }
}

/** JSON that each value takes, and JSON that it refuses. */
const EXAMPLES: readonly [value: Value<unknown>, taken: readonly unknown[], refused: readonly unknown[]][] = [
  [integer(1, 9), [1, 9], [0, 10, 1.5, "3", true, null, [3]]],
  [integer(0), [0, Number.MAX_SAFE_INTEGER], [-1, "0"]],
  [number(0, 1, { above: true }), [1, 1e-7, 0.5], [0, 1.1, "0.5", "1e-3"]],
  [number(0), [0, 1e21], [-1e-9]],
  [numbers(1, 2, 0, 1), [[0.5], [0.5, 1e-9]], [[], [0], [0.1, 0.2, 0.3], 0.5, ["0.5"]]],
  [oneOf(["a", "b"]), ["a"], ["c", 1, ""]],
  [text(), ["x", "1"], ["", 1, null]],
  [list(integer(1, 3), "some"), [[1, 2, 3], [1]], [[], [4], 1, "1,2"]],
  [namedPath(), ["a", "b=c"], [1, ""]],
];

Deno.test("JSON is refused by a value where its schema refuses it, in the flag's words", () => {
  const ajv = new Ajv({ strict: true });
  for (const [value, taken, refused] of EXAMPLES) {
    const validate = ajv.compile(value.schema);
    for (const json of taken) {
      const parsed = fromJson(value, json, ".");
      assert.ok(validate(json), JSON.stringify(json));
      assert.deepEqual(fromJson(value, value.toJson ? value.toJson(parsed) : parsed, "."), parsed);
    }
    for (const json of refused) {
      assert.match(String(read(value, json)), /^Allowed: /, `${value.allowed}: ${JSON.stringify(json)}`);
      assert.ok(!validate(json), `${value.allowed}: ${JSON.stringify(json)}`);
    }
  }
  assert.equal(read(integer(1, 9), "3"), "Allowed: a whole number, from 1 to 9.");
  assert.equal(read(oneOf(["tiny", "small"]), "smal"), "Allowed: tiny, small. (did you mean small?)");
});

Deno.test("an item with a comma is no item of a list, which a command line could not say", () => {
  const names = list(text(), "names, separated by commas");
  assert.deepEqual(read(names, ["a", "b"]), ["a", "b"]);
  assert.equal(read(names, ["a,b"]), "Allowed: names, separated by commas.");
});

Deno.test("relative paths of a settings file are taken from its folder", () => {
  for (
    const [given, taken] of [
      ["images", "birds/images"],
      ["./images", "birds/images"],
      ["../images", "images"],
      ["/data/images", "/data/images"],
      ["https://example.org/model", "https://example.org/model"],
    ]
  ) assert.equal(read(path(), given, "birds"), taken);
  assert.deepEqual(read(list(path(), "paths"), ["a", "/b"], "birds"), ["birds/a", "/b"]);
  assert.equal(read(text(), "name", "birds"), "name");
  const words = checked("none or a path", (word) => word, {
    inFolder: (word, folder) => word === "none" ? word : `${folder}/${word}`,
  });
  assert.deepEqual(["none", "a"].map((word) => read(words, word, "birds")), ["none", "birds/a"]);
  const named: [string, string, unknown][] = [
    ["runs/cats", "birds", { name: "cats", path: "birds/runs/cats" }],
    ["dogs=runs/cats", "birds", { name: "dogs", path: "birds/runs/cats" }],
    ["./a=b", ".", { name: "a-b", path: "./a=b" }],
    ["https://example.org/cats", "birds", { name: "cats", path: "https://example.org/cats" }],
  ];
  for (const [given, folder, taken] of named) {
    assert.deepEqual(read(namedPath(), given, folder), taken, given);
  }
});
