/**
 * `labels.csv`: a row an image, with a header (`file,label` or other usual names) or without.
 *
 * @module
 */

import { parse } from "csv-parse/sync";
import { hasImageExtension } from "../decode/content.ts";
import { checkLabel, labelColumn, type LabelEntries, type LabelEntry } from "./label_entries.ts";

/** Columns with the image's path or name. */
const IMAGE_COLUMNS: readonly string[] = ["file_name", "file", "filename", "path", "image", "image_id", "id"];

/** A row, with the number of its last line. */
interface Row {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

/** Parses the file; see {@linkcode LabelReader}. */
export function readLabelsCsv(text: string, wanted: string | undefined): LabelEntries {
  const rows = parse(text, {
    bom: true,
    delimiter: delimiterOf(text),
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
  }) as unknown as Row[]; // the shape that `info` gives
  const [first] = rows;
  if (!first) return { entries: [], column: undefined };
  const hasHeader = !first.record.some(hasImageExtension);
  const columns = hasHeader ? first.record.map((name) => name.toLowerCase()) : ["file", "label"];
  const column = labelColumn(columns, wanted?.toLowerCase());
  const imageAt = columns.findIndex((name) => IMAGE_COLUMNS.includes(name));
  if (imageAt < 0) {
    throw new Error(`line 1: expected a column ${IMAGE_COLUMNS.join(" or ")}, found ${columns.join(", ")}`);
  }
  const labelAt = column === undefined ? -1 : columns.indexOf(column);
  const entries = rows.slice(hasHeader ? 1 : 0).map(({ record, info: { lines } }) => {
    const where = `line ${lines}`;
    const image = record[imageAt];
    if (!image) throw new Error(`${where}: no image in column ${columns[imageAt]}`);
    if (record.slice(columns.length).some((value) => value !== "")) {
      const quotes = "a value with the delimiter in it needs quotes";
      throw new Error(`${where}: expected ${columns.length} values, found ${record.length}; ${quotes}`);
    }
    return { image, label: checkLabel(record[labelAt], where), where };
  });
  return { entries: withWholeNumbers(entries), column };
}

/** Delimiter of a file: the one that its first line has most often outside quotes. */
function delimiterOf(text: string): string {
  const [first = ""] = text.trimStart().split(/[\r\n]/, 1);
  const bare = first.replace(/"[^"]*"/g, "");
  const counted = [",", ";", "\t"].map((delimiter) => ({ delimiter, count: bare.split(delimiter).length }));
  return counted.reduce((best, one) => one.count > best.count ? one : best).delimiter;
}

/** Labels `3.0` as `3` where all are such numbers: pandas writes a column of whole numbers so if one is missing. */
function withWholeNumbers(entries: readonly LabelEntry[]): readonly LabelEntry[] {
  const whole = entries.map(({ label }) => /^(\d+)(?:\.0*)?$/.exec(String(label ?? 0))?.[1]);
  if (whole.includes(undefined)) return entries;
  return entries.map((entry, i) => entry.label === null ? entry : { ...entry, label: whole[i]! }); // all are there
}
