import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { Images } from "../../lib/image/images.ts";
import { strip } from "../../lib/image/process.ts";

/** A frame of two 1 x 1 images: greys `moment` and `moment + 100`. */
function frame(moment: number, count = 2): Images {
  return new Images(
    Uint8Array.from({ length: count * 3 }, (_, i) => moment + 100 * Math.floor(i / 3)),
    count,
    1,
    1,
  );
}

function refuses(call: () => unknown, field: string): void {
  assert.throws(call, (error) => error instanceof ConfigError && error.field === field);
}

Deno.test("a strip has a column for each frame and a row for each image", () => {
  const picture = strip([frame(1), frame(2), frame(3)], { scale: 1, gap: 0 });
  assert.deepEqual([picture.count, picture.height, picture.width], [1, 2, 3]);
  assert.deepEqual([...picture.pixels].filter((_, i) => i % 3 === 0), [1, 2, 3, 101, 102, 103]);
});

Deno.test("captions take room above the frames", () => {
  const frames = [0, 1, 2].map((moment) => new Images(new Uint8Array(32 * 32 * 3).fill(moment), 1, 32, 32));
  const bare = strip(frames, { scale: 3 });
  const captioned = strip(frames, { scale: 3, captions: ["t=0", "t=500", "t=999"] });
  assert.equal(captioned.width, bare.width);
  const room = (captioned.height - bare.height) * bare.width * 3;
  assert.ok(room > 0);
  assert.ok(captioned.pixels.subarray(0, room).includes(0x22), "captions are drawn");
  assert.deepEqual(
    captioned.pixels.subarray(room + 2 * bare.width * 3),
    bare.pixels.subarray(2 * bare.width * 3),
  );
});

Deno.test("frames that do not match are refused by name", () => {
  refuses(() => strip([]), "frames.length");
  refuses(() => strip([frame(1), frame(2, 1)]), "frames[1].count");
  refuses(() => strip([frame(1), frame(2)], { captions: ["t=0"] }), "captions.length");
  refuses(() => strip([frame(1), frame(2)], { rowLabels: ["cat"] }), "rowLabels.length");
  refuses(() => strip([frame(1)], { scale: 17 }), "scale");
});
