/**
 * Worker that encodes pictures.
 *
 * @module
 */
import type { PictureJob } from "./encoder.ts";
import { encodeFile } from "./encoding.ts";
import type { PictureAnswer } from "./picture_worker.ts";

/** The worker's global scope, which Deno's window types lack. */
interface Scope {
  onmessage: ((event: MessageEvent<PictureJob>) => void) | null;
  postMessage(answer: PictureAnswer<Uint8Array<ArrayBuffer>>, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

scope.onmessage = async ({ data }) => {
  try {
    const result = await encodeFile(data);
    scope.postMessage({ result }, [result.buffer]);
  } catch (error) {
    scope.postMessage({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
};
