/**
 * Sources of image files with their classes.
 *
 * @module
 */

import type { ImageLayout } from "./layout.ts";
import type { Cifar10Split } from "./official.ts";
import type { FileContent } from "./tree/file_tree.ts";

/** Image files and their classes: a folder, an archive, or Parquet files. */
export interface ImageSource extends AsyncDisposable {
  /** Path of the source, for messages. */
  readonly path: string;
  /**
   * Images of a split, and their classes.
   *
   * @param column column with the classes; undefined for the usual ones
   * @throws {DataError} naming the folder or file that does not fit
   */
  layout(split: Cifar10Split, column: string | undefined): Promise<ImageLayout>;
  /**
   * Contents of images, in the order that the source reads fastest.
   *
   * @param files names from the layout
   * @throws {DataError} naming the source, where no further file can be read
   */
  read(files: readonly string[]): AsyncIterable<FileContent>;
  /**
   * Digest of the state of its files, by names, sizes and times of change: another one if any has changed.
   *
   * @throws {DataError} naming the file that cannot be found
   */
  stamp(): Promise<string>;
  /** Name of an image for messages. */
  describe(file: string): string;
}
