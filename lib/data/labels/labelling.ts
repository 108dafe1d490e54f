/**
 * Ways in which the images of a data set have classes.
 *
 * @module
 */

/** An image with the name of its class. */
export interface ClassedImage {
  /** Path in the tree. */
  readonly file: string;
  /** Class name; empty without classes. */
  readonly name: string;
}

/** One way. */
export interface Labelling {
  /** Class names are numbers, in whose order the labels are. */
  readonly areNumbers: boolean;
  /** For the user, what the classes are taken from and which images are left out. */
  readonly notes: readonly string[];
  /**
   * Images in a folder of the tree with their classes.
   *
   * @param root path with a `/` at its end, empty for the whole tree
   * @throws {DataError} naming the folder or file that does not fit
   */
  imagesIn(root: string): readonly ClassedImage[];
  /** Path in the tree of what gives an image its class: its folder, or the image itself. */
  sourceOf(file: string): string;
}

/** Without classes: all images, in code unit order. */
export function withoutClasses(images: readonly string[]): Labelling {
  return {
    areNumbers: false,
    notes: [],
    imagesIn: (root) => images.filter((file) => file.startsWith(root)).map((file) => ({ file, name: "" })),
    sourceOf: (file) => file,
  };
}
