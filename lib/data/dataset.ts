/**
 * Image data sets.
 *
 * @module
 */

import type { ImageFileOptions } from "./image_options.ts";
import type { ImageFileSummary } from "./summary.ts";
import type { ImageStore } from "./image_store.ts";

/** Images and labels: one byte per value, neither scaled nor shuffled. */
export interface ImageDataset {
  /** Short name for logs and checkpoints, e.g. `cifar10`. */
  readonly name: string;
  /** Pixels of the images, in memory or in a file: `images.read([0, 1])` has shape `[2, height, width, channels]`. */
  readonly images: ImageStore;
  /** Class of each image, shape `[count]`, an index into {@link ImageDataset.classes}. */
  readonly labels: Uint8Array;
  /** Class names in the order of their labels; empty without classes, all labels being 0. */
  readonly classes: readonly string[];
  /** Number of images. */
  readonly count: number;
  /** Height of each image in pixels. */
  readonly height: number;
  /** Width of each image in pixels. */
  readonly width: number;
  /** Values of a pixel: 3 for red, green and blue, 1 for grey. */
  readonly channels: 1 | 3;
  /** Ascending indices of the validation images, if the data comes with a split; else `splitDataset` draws one by seed. */
  readonly validation?: Uint32Array;
  /**
   * SHA-256 in lower-case hex, by which a checkpoint identifies its data: over `images`, then `labels`, then, if there is
   * a `validation`, the text `validation ` and its indices in decimal, separated by commas.
   */
  readonly digest: string;
  /**
   * Absolute path of the file or folder it was read from, which a run records for its resume; absent for data from npm or
   * made in memory.
   */
  readonly source?: string;
  /** Options that image files were read with, which a run records for its resume; absent for other data. */
  readonly imageOptions?: ImageFileOptions;
  /** Image files that it was made of; absent for other data. */
  readonly files?: ImageFileSummary;
}

/** Progress of reading a data set; `done` and `total` are given where the work can be counted. */
export interface DataProgress {
  /** The current activity, for a progress line. */
  readonly message: string;
  /** Units done. */
  readonly done?: number;
  /** Units in total. */
  readonly total?: number;
  /** True for a note after reading, which {@linkcode ImageDataset.files} has, too. */
  readonly note?: true;
}

/** A listener for {@link DataProgress}. */
export type DataProgressListener = (event: DataProgress) => void;

/** Parts of a data set: everything but what follows from them. */
export interface ImageDatasetParts
  extends
    Omit<ImageDataset, "images" | "count" | "digest" | "channels">,
    Partial<Pick<ImageDataset, "channels">> {
  /** Values 0 to 255, shape `[count, height, width, channels]`, or where they are stored. */
  readonly images: Uint8Array | ImageStore;
}
