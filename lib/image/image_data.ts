/**
 * Pictures for a canvas of a page.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import type { Images } from "./images.ts";

/**
 * One image of a batch as a canvas takes it: `context.putImageData(toImageData(images, 0), 0, 0)`.
 *
 * @param index 0 to `count - 1`
 * @throws {ConfigError} if the index is out of range
 */
export function toImageData({ pixels, count, height, width }: Images, index: number): ImageData {
  checkWhole("index", index, 0, count - 1);
  const values = height * width * 3;
  const data = new ImageData(width, height);
  for (let i = 0; i < values; i++) data.data[i + Math.floor(i / 3)] = pixels[index * values + i]!;
  for (let i = 3; i < data.data.length; i += 4) data.data[i] = 255;
  return data;
}
