/**
 * Worker that reads batches of images from a file, so that neither waits for the other: the disk and the main thread, which
 * blocks while it waits for the device.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { reason } from "../files.ts";
import { type FileState, type ImageRows, RowFile, sameState } from "./row_file.ts";

/** What the worker is asked: first to open the file, then for batches. */
export type ReaderJob =
  | { readonly open: ImageRows; readonly state: FileState }
  | { readonly indices: Uint32Array };

/** A batch, or why there is none; in the order of the jobs. */
export type ReaderAnswer = { readonly bytes: Uint8Array<ArrayBuffer> } | { readonly error: string };

/** The used part of a worker's global scope. */
interface Scope {
  onmessage: ((event: MessageEvent<ReaderJob>) => void) | null;
  postMessage(answer: ReaderAnswer, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

let rows: RowFile | DataError;

scope.onmessage = ({ data }) => {
  if ("open" in data) {
    rows = open(data.open, data.state);
    return;
  }
  try {
    if (rows instanceof DataError) throw rows;
    const bytes = rows.read(data.indices);
    scope.postMessage({ bytes }, [bytes.buffer]);
  } catch (error) {
    scope.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
};

/** The file, which must be the one that the main thread has; or the error of every batch. */
function open(layout: ImageRows, state: FileState): RowFile | DataError {
  try {
    const file = Deno.openSync(layout.path);
    if (sameState(file.statSync(), state)) return new RowFile(file, layout, state);
    file.close();
    return new DataError(`${layout.path}: the file was changed while it was in use`);
  } catch (error) {
    return new DataError(`${layout.path}: cannot be read: ${reason(error)}`);
  }
}
