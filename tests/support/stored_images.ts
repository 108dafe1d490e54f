/** Data sets whose images are in a file. */
import { FileSink } from "../../lib/data/cache/file_sink.ts";
import { openImageFile } from "../../lib/data/cache/image_file.ts";
import type { ImageDataset } from "../../lib/data/dataset.ts";
import { imageDataset } from "../../lib/data/image_dataset.ts";

/** Writes a data set to a file and opens it there; its images must be closed. */
export async function storedDataset(data: ImageDataset, path: string): Promise<ImageDataset> {
  const { count, images: { bytesPerImage } } = data;
  const sink = await FileSink.create(path, count, bytesPerImage);
  for (let i = count - 1; i >= 0; i--) sink.put(i, data.images.read([i]));
  const images = sink.finish(Array.from({ length: count }, (_, i) => i));
  await sink.publish({ dataset: imageDataset({ ...data, images }), stamp: "now" });
  sink.release();
  return (await openImageFile(path))!.dataset;
}
