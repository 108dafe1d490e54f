import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { layOutGrid } from "../../lib/image/grid.ts";
import { Images } from "../../lib/image/images.ts";

Deno.test("a grid's size is known without its images", () => {
  for (
    const options of [
      {},
      { columns: 2, scale: 3, gap: 1 },
      { columns: 2, rowLabels: ["a", "long label", "c"], columnLabels: ["left", "right"] },
    ]
  ) {
    const images = new Images(new Uint8Array(6 * 4 * 5 * 3), 6, 4, 5);
    const { width, height } = images.grid(options);
    const layout = layOutGrid({ count: 6, height: 4, width: 5 }, options);
    assert.deepEqual([layout.width, layout.height], [width, height]);
  }
});

Deno.test("a grid that is too large for a picture is refused without images, and so without their memory", () => {
  const many = { count: 10_000, height: 32, width: 32 };
  assert.throws(() => layOutGrid(many, { columns: 1000, scale: 2 }), (error: Error) => {
    assert.match(error.message, /^width: expected a whole number from 1 to 65535, got 66002$/);
    return error instanceof ConfigError;
  });
  assert.throws(() => layOutGrid(many, { columns: 100, scale: 16 }), /^ConfigError: width x height: /);
});

Deno.test("letters that the font lacks are spelled, and names that it cannot write called by their row", () => {
  const images = new Images(new Uint8Array(3 * 8 * 8 * 3), 3, 8, 8);
  const grid = (...rowLabels: string[]) => images.grid({ columns: 1, rowLabels }).pixels;
  assert.deepEqual(grid("Größe", "Łódź", "søæ"), grid("Grosse", "Lodz", "soae"));
  assert.deepEqual(grid("owl", "メジロ (150)", "小鳥, x_t"), grid("owl", "row 2 (150)", "row 3, x_t"));
  const columns = (...columnLabels: string[]) => images.grid({ columns: 3, columnLabels }).pixels;
  assert.deepEqual(columns("a", "b", "ж"), columns("a", "b", "column 3"));
});
