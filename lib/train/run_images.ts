/**
 * Where a run's images are: all in device memory, or streamed to it batch by batch.
 *
 * @module
 */
import type { ImageDataset } from "../data/dataset.ts";
import { OutOfMemory } from "../gpu/budget.ts";
import type { Gpu } from "../gpu/device.ts";
import type { DeviceImages } from "./device/device_images.ts";
import { ResidentDataset } from "./device/resident.ts";
import { StreamedDataset } from "./device/streamed.ts";

/** Where the images of a run are. */
export type ImagesOn = "device" | "host";

/** Choices of the setting `imagesOn`. */
export const IMAGES_ON = ["auto", "device", "host"] as const;

/** Share of the memory left that images may take; the rest is for weights and activations. */
export const RESIDENT_SHARE = 0.5;
/** Limit on images on a device without a memory budget, bytes: little enough for the GPU of a laptop. */
export const RESIDENT_BYTES: number = 2 ** 31;

/** What the plan of a run says about its images. */
interface PlannedImages {
  /** Indices into the data set. */
  readonly images: Uint32Array;
  readonly settings: { readonly batch: number };
}

/** Images of a run, with what was built on them. */
export interface FittedImages<T> {
  readonly images: DeviceImages;
  readonly imagesOn: ImagesOn;
  readonly built: T;
}

/**
 * Brings a run's images to the device, or opens them for streaming, and builds on them. Images that were put on the device by
 * choice of `auto` are streamed if what is built does not fit beside them.
 *
 * @param choice the setting `imagesOn`
 * @param build leaves nothing allocated if it throws
 * @throws {DeviceError} if there is too little device memory
 * @throws {DataError} naming file and image, if it cannot be read
 */
export async function fitImages<T>(
  gpu: Gpu,
  data: ImageDataset,
  { images: indices, settings: { batch } }: PlannedImages,
  choice: typeof IMAGES_ON[number],
  build: (images: DeviceImages) => Promise<T>,
): Promise<FittedImages<T>> {
  const attempt = async (imagesOn: ImagesOn): Promise<FittedImages<T>> => {
    const images = imagesOn === "device"
      ? ResidentDataset.upload(gpu, data, indices)
      : StreamedDataset.open(gpu, data, indices, batch);
    try {
      return { images, imagesOn, built: await build(images) };
    } catch (error) {
      images.destroy();
      throw error;
    }
  };
  if (choice !== "auto") return await attempt(choice);
  if (residentBytes(data, indices.length) > roomForImages(gpu)) return await attempt("host");
  try {
    return await attempt("device");
  } catch (error) {
    if (!(error instanceof OutOfMemory)) throw error;
    return await attempt("host");
  }
}

/** Bytes of images on the device, with labels and their order. */
function residentBytes({ images }: Pick<ImageDataset, "images">, count: number): number {
  return count * (images.bytesPerImage + 5);
}

/** Bytes that images may take on the device. */
function roomForImages({ memory: { limit, used } }: Gpu): number {
  return limit === Infinity ? RESIDENT_BYTES : RESIDENT_SHARE * (limit - used);
}
