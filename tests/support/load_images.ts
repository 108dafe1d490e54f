/**
 * Child process of the tests of decoded images: loads the folder of its first argument, with the options of the second (JSON), and
 * prints notes, digest and file as JSON.
 */
import { loadImages } from "../../lib/data/load_images.ts";

const [path, options = "{}"] = Deno.args;
const notes: string[] = [];
const onProgress = ({ message, total }: { message: string; total?: number }) => {
  if (total === undefined) notes.push(message);
};
const data = await loadImages(path!, { ...JSON.parse(options), onProgress });
console.log(JSON.stringify({ notes, digest: data.digest, file: data.images.file ?? null }));
data.images.close();
// Deno crashes now and then where a process ends while a worker is being torn down.
await new Promise((resolve) => setTimeout(resolve, 300));
