/** Edits by a real server: its own process with its permissions, decoder and GPU worker, and a tiny model. */
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";
import { pixelsOf } from "../support/server/openai_client.ts";
import { withServer } from "../support/server/process.ts";
import { makePng } from "../support/synthetic.ts";

Deno.test("a server keeps what the mask covers, draws the rest, and repeats a seed to the bit", async () => {
  await withServer({ tune: "off" }, async ({ url }) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
    const given = (x: number, y: number) => [20 * x, 30 * y, 120];
    const image = await toFile(await makePng(8, 8, given), "a.png");
    const left = (x: number) => [0, 0, 0, x < 4 ? 0 : 255];
    const mask = await toFile(await makePng(8, 8, left), "mask.png");
    const fields = { image, prompt: "anything", ...{ class: "1", seed: 5, steps: 6 } };
    const draw = async (changes: Partial<OpenAI.ImageEditParamsNonStreaming> = {}, extensions = {}) => {
      const { data } = await client.images.edit({ ...fields, ...changes, ...extensions });
      return pixelsOf(data?.[0].b64_json);
    };
    /** Largest difference from the given picture in some columns. */
    const far = (pixels: Uint8Array, columns: readonly number[]) =>
      Math.max(
        ...columns.flatMap((x) =>
          Array.from({ length: 8 }, (_, y) =>
            Math.max(
              ...given(x, y).map((value, c) => Math.abs(pixels[3 * (8 * y + x) + c] - value)),
            ))
        ),
      );

    const inpainted = await draw({ mask });
    assert.ok(far(inpainted, [4, 5, 6, 7]) <= 1, "kept");
    assert.ok(far(inpainted, [0, 1, 2, 3]) > 20, "drawn anew");
    assert.deepEqual(await draw({ mask }), inpainted);
    assert.notDeepEqual(await draw({ mask }, { seed: 6 }), inpainted);
    assert.ok(far(await draw({ mask }, { resamplings: 2, jump: 2 }), [4, 5, 6, 7]) <= 1);
    const near = await draw({}, { strength: 0.2 });
    assert.ok(far(near, [0, 7]) > 0);
    assert.notDeepEqual(near, await draw({}, { strength: 1 }));
  });
});
