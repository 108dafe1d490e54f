import assert from "node:assert/strict";
import { counted } from "../lib/counted.ts";

Deno.test("counted: one thing is named in the singular, none and several in the plural", () => {
  assert.deepEqual([0, 1, 2].map((count) => counted(count, "image")), ["0 images", "1 image", "2 images"]);
  assert.deepEqual([1, 3].map((count) => counted(count, "class", "classes")), ["1 class", "3 classes"]);
});
