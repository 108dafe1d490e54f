/**
 * Worker that decodes uploaded pictures.
 *
 * @module
 */
import { type DecodedEdit, type EditFiles, type EditFilesJob, PictureError } from "./decoder.ts";
import { decodeEdit } from "./decoding.ts";
import type { PictureAnswer } from "./picture_worker.ts";

/** Result of a job: errors of the files are answers, not failures of the worker. */
export type DecodingResult =
  | { readonly edit: DecodedEdit }
  | { readonly field: keyof EditFiles; readonly message: string };

/** The worker's global scope, which Deno's window types lack. */
interface Scope {
  onmessage: ((event: MessageEvent<EditFilesJob>) => void) | null;
  postMessage(answer: PictureAnswer<DecodingResult>, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

scope.onmessage = async ({ data }) => {
  try {
    const edit = await decodeEdit(data);
    const buffers = [edit.image.buffer, ...(edit.mask ? [edit.mask.buffer] : [])];
    scope.postMessage({ result: { edit } }, buffers);
  } catch (error) {
    if (error instanceof PictureError) {
      const { field, message } = error;
      scope.postMessage({ result: { field, message } });
    } else {
      scope.postMessage({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
    }
  }
};
