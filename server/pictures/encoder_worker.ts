/**
 * Worker that encodes pictures.
 *
 * @module
 */
import type { PictureJob } from "./encoder.ts";
import { encodeFile } from "./encoding.ts";

/** Reply to each {@linkcode PictureJob}, in order. */
export type EncoderAnswer =
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly error: string };

/** The worker's global scope, which Deno's window types lack. */
interface Scope {
  onmessage: ((event: MessageEvent<PictureJob>) => void) | null;
  postMessage(answer: EncoderAnswer, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

scope.onmessage = async ({ data }) => {
  try {
    const bytes = await encodeFile(data);
    scope.postMessage({ bytes }, [bytes.buffer]);
  } catch (error) {
    scope.postMessage({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
};
