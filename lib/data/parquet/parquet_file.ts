/**
 * One Parquet file, read by hyparquet a row group at a time.
 *
 * @module
 */

import type { FileMetaData } from "hyparquet";
import { DataError } from "../../errors.ts";
import { HEAD_BYTES, isLfsPointer, LFS_POINTER } from "../decode/content.ts";
import { reason, unreadable } from "../files.ts";

/** A value of a column. */
export interface ColumnValue {
  readonly row: number;
  readonly value: unknown;
}

/** A Parquet file, which is open only while it is read: a data set may have more files than a process may open. */
export class ParquetFile {
  readonly path: string;
  /** Names of the top columns. */
  readonly columns: readonly string[];
  readonly rows: number;
  readonly #size: number;
  readonly #metadata: FileMetaData;

  private constructor(path: string, size: number, metadata: FileMetaData) {
    this.path = path;
    this.#size = size;
    this.#metadata = metadata;
    this.rows = Number(metadata.num_rows);
    this.columns = topColumns(metadata);
  }

  /** @throws {DataError} if the file cannot be read, or its metadata is damaged */
  static async open(path: string): Promise<ParquetFile> {
    using file = await openFile(path);
    const head = new Uint8Array(HEAD_BYTES);
    const found = head.subarray(0, (await file.read(head)) ?? 0);
    if (isLfsPointer(found)) throw new DataError(`${path}: ${LFS_POINTER}`);
    try {
      const { size } = await file.stat();
      const { parquetMetadataAsync } = await import("hyparquet");
      const metadata = await parquetMetadataAsync({
        byteLength: size,
        slice: (from, to) => slice(file, from, to ?? size),
      });
      return new ParquetFile(path, size, metadata);
    } catch (error) {
      throw new DataError(`${path}: a damaged Parquet file: ${reason(error)}`, { cause: error });
    }
  }

  /** Class names of a column, as the hub's `ClassLabel` has them; undefined if it has none. */
  classNames(column: string | undefined): readonly string[] | undefined {
    const text = this.#metadata.key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
    if (text === undefined || column === undefined) return undefined;
    try {
      const names: unknown = JSON.parse(text).info.features[column].names;
      return Array.isArray(names) && names.every((name) => typeof name === "string") ? names : undefined;
    } catch {
      return undefined; // other metadata
    }
  }

  /**
   * Values of a column, a row group at a time.
   *
   * @param wanted rows; all by default
   * @throws {DataError} if they cannot be decoded
   */
  async *values(column: string, wanted?: ReadonlySet<number>): AsyncGenerator<ColumnValue> {
    const [{ parquetReadObjects }, { compressors }] = await Promise.all([
      import("hyparquet"),
      import("hyparquet-compressors"),
    ]);
    using opened = await openFile(this.path);
    const file = {
      byteLength: this.#size,
      slice: (from: number, to: number = this.#size) => slice(opened, from, to),
    };
    let rowStart = 0;
    for (const { num_rows } of this.#metadata.row_groups) {
      const rowEnd = rowStart + Number(num_rows);
      const isWanted = !wanted ||
        Array.from({ length: rowEnd - rowStart }, (_, i) => rowStart + i).some((row) => wanted.has(row));
      if (isWanted) {
        let rows: Record<string, unknown>[];
        try {
          const metadata = this.#metadata;
          rows = await parquetReadObjects({
            file,
            metadata,
            compressors,
            columns: [column],
            rowStart,
            rowEnd,
            utf8: false,
          });
        } catch (error) {
          throw new DataError(`${this.path}: rows from ${rowStart}: damaged: ${reason(error)}`, {
            cause: error,
          });
        }
        for (const [i, row] of rows.entries()) {
          if (!wanted || wanted.has(rowStart + i)) yield { row: rowStart + i, value: row[column] };
        }
      }
      rowStart = rowEnd;
    }
  }
}

/** @throws {DataError} naming the file, if it cannot be opened */
async function openFile(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Names of the schema's columns at the top. */
function topColumns({ schema: [root, ...elements] }: FileMetaData): string[] {
  const names: string[] = [];
  let inside = 0; // elements that belong to the column before
  for (const { name, num_children = 0 } of elements) {
    if (inside === 0) names.push(name);
    else inside--;
    inside += num_children;
  }
  return root === undefined ? [] : names;
}

/** Reads a part of a file; synchronously, since parts are asked for side by side. */
function slice(file: Deno.FsFile, from: number, to: number): ArrayBuffer {
  const bytes = new Uint8Array(to - from);
  file.seekSync(from, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < bytes.length) {
    const n = file.readSync(bytes.subarray(filled));
    if (n === null) throw new Error(`cut short at byte ${from + filled}`);
    filled += n;
  }
  return bytes.buffer;
}
