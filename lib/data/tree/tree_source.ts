/**
 * A folder or archive as a source of images.
 *
 * @module
 */

import type { ImageSource } from "../image_source.ts";
import { type ImageLayout, readLayout } from "../layout.ts";
import type { Cifar10Split } from "../official.ts";
import type { FileContent, FileTree } from "./file_tree.ts";

/** A tree whose layout says what its images are. */
export class TreeSource implements ImageSource {
  readonly #tree: FileTree;

  constructor(tree: FileTree) {
    this.#tree = tree;
  }

  get path(): string {
    return this.#tree.path;
  }

  layout(split: Cifar10Split, column: string | undefined): Promise<ImageLayout> {
    return readLayout(this.#tree, split, column);
  }

  read(files: readonly string[]): AsyncIterable<FileContent> {
    return this.#tree.read(files);
  }

  stamp(): Promise<string> {
    return this.#tree.stamp();
  }

  describe(file: string): string {
    return this.#tree.describe(file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tree[Symbol.asyncDispose]();
  }
}
