/**
 * Content of a label file, and checks shared by its readers.
 *
 * @module
 */

/** An image that a label file names. */
export interface LabelEntry {
  /** Path from the label file's folder, or a name without its extension. */
  readonly image: string;
  /** Class name or number; null if the file has none for this image. */
  readonly label: string | number | null;
  /** Place in the label file, for messages, such as `line 3`. */
  readonly where: string;
}

/** Content of a label file. */
export interface LabelEntries {
  readonly entries: readonly LabelEntry[];
  /** Column of the labels; undefined if there is none. */
  readonly column: string | undefined;
  /** True if the file says that the images have no classes. */
  readonly unlabelled?: true;
}

/**
 * Parses a label file.
 *
 * @param text the file
 * @param column column with the labels; undefined for the usual ones
 * @throws {Error} saying what is wrong and where; the caller adds the file
 */
export type LabelReader = (text: string, column: string | undefined) => LabelEntries | Promise<LabelEntries>;

/** Columns with labels in public data sets, the first that is there being taken. */
export const LABEL_COLUMNS: readonly string[] = ["label", "class", "labels", "category", "fine_label"];

/**
 * Column with the labels.
 *
 * @throws {Error} if `wanted` is not there
 */
export function labelColumn(columns: readonly string[], wanted: string | undefined): string | undefined {
  if (wanted === undefined) return LABEL_COLUMNS.find((name) => columns.includes(name));
  if (columns.includes(wanted)) return wanted;
  throw new Error(`no column ${wanted}; expected one of ${columns.join(", ")}`);
}

/**
 * A label from a file.
 *
 * @throws {Error} if it is neither a text nor a whole number
 */
export function checkLabel(label: unknown, where: string): LabelEntry["label"] {
  if (label === null || label === undefined || label === "") return null;
  if (typeof label === "string" || Number.isInteger(label)) return label as string | number;
  throw new Error(`${where}: the label is ${JSON.stringify(label)}, expected a text or a whole number`);
}
