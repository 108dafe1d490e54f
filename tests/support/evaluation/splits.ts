/** Splits of images that a classifier and an evaluation read. */
import { join } from "node:path";
import { encodePng } from "../../../lib/image/png.ts";

/** Writes `splits/train` and `splits/test`, with classes `light` and `dark` of 32 x 32 images. */
export async function makeSplits(directory: string): Promise<void> {
  for (const [split, count] of [["train", 16], ["test", 4]] as const) {
    for (const [name, from] of [["light", 160], ["dark", 20]] as const) {
      const folder = join(directory, "splits", split, name);
      await Deno.mkdir(folder, { recursive: true });
      for (let i = 0; i < count; i++) {
        const pixels = Uint8Array.from(
          { length: 32 * 32 * 3 },
          (_, j) => from + (j * (i + count) + (j >> 5)) % 60,
        );
        await Deno.writeFile(join(folder, `${i}.png`), await encodePng(pixels, 32, 32));
      }
    }
  }
}
