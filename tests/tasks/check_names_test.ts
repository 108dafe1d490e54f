import assert from "node:assert/strict";
import { checkNames, exportedNames } from "../../tasks/check_names.ts";

Deno.test("exported names are found in every form of declaration; re-exports and comments are none", () => {
  const text = `
export function one() {}
export async function* two() {}
export const three = 3;
export abstract class Four {}
export interface Five<T> {}
export type Six = 6;
const seven = 7, inner = 8;
export { inner as eight, seven };
export { nine } from "./nine.ts";
export type { Ten } from "./ten.ts";
export * from "./eleven.ts";
/** export const twelve = 12; */
// export const thirteen = 13;
`;
  assert.deepEqual([...exportedNames(text)].sort(), [
    "Five",
    "Four",
    "Six",
    "eight",
    "one",
    "seven",
    "three",
    "two",
  ]);
});

Deno.test("a name that two modules export is told with both; one that is exported again, or by a test, is not", () => {
  const modules = (files: Record<string, string>) =>
    new Map(Object.entries(files).map(([path, text]) => [path, { text }]));
  const pipeline = "export interface Pipeline {}\n";
  assert.deepEqual(
    checkNames(modules({ "lib/gpu/pipeline.ts": pipeline, "lib/files/pipeline.ts": pipeline })),
    [
      "lib/files/pipeline.ts, lib/gpu/pipeline.ts: all export Pipeline; rename all but one",
    ],
  );
  assert.deepEqual(
    checkNames(modules({
      "lib/gpu/pipeline.ts": pipeline,
      "mod.ts": 'export type { Pipeline } from "./lib/gpu/pipeline.ts";\n',
      "tests/support/pipeline.ts": pipeline,
    })),
    [],
  );
});
