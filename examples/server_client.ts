/**
 * Talks to a running server: what it can draw, an image, and a stream of previews.
 *
 *     deno task serve --model checkpoints/cifar10
 *     deno run -A examples/server_client.ts --class horse --seed 6
 *
 * This needs nothing of the project: it is HTTP, and works alike from any language.
 *
 * @module
 */
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000" },
    class: { type: "string", default: "horse" },
    seed: { type: "string", default: "6" },
    steps: { type: "string", default: "15" },
    out: { type: "string", default: "." },
  },
});

/** Asks for a path. Every error is a problem document (RFC 9457) that says what was wrong and what is allowed. */
async function ask(path: string, query: Record<string, string> = {}): Promise<Response> {
  const response = await fetch(`${values.url}${path}?${new URLSearchParams(query)}`);
  if (response.ok) return response;
  const { title, detail } = await response.json();
  throw new Error(`${response.status} ${title}: ${detail}`);
}

// 1. What can be asked for?
const { classes }: { classes: { name: string }[] } = await (await ask("/classes")).json();
console.log("classes:", classes.map(({ name }) => name).join(", "));

// 2. One image, by class and seed. The headers say what it was drawn with.
const query = { class: values.class, seed: values.seed, steps: values.steps };
const answer = await ask("/generate", query);
const image = await answer.bytes();
await Deno.writeFile(`${values.out}/image.png`, image);
console.log(`image.png: ${image.length} bytes, model ${answer.headers.get("x-model")}`);

// 3. The same image as it comes out of the noise, by server-sent events. `EventSource` is what a web page would use; it
//    would connect again after the end, so it is closed there. (It sends no headers: with a token, read the body of a
//    `fetch` instead.)
const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
const stream = new EventSource(
  `${values.url}/generate/stream?${new URLSearchParams({ ...query, every: "5" })}`,
);
/** Calls a listener with each event of a name. */
function on(name: string, listener: (data: Record<string, unknown>) => void): void {
  stream.addEventListener(name, (event) => listener(JSON.parse(event.data)));
}
on("queued", ({ position }) => console.log(`${position} before us`));
on("started", ({ evaluations }) => console.log(`started, ${evaluations} evaluations of the network`));
on("preview", ({ step, image }) => {
  console.log(`preview after step ${step}`);
  Deno.writeFileSync(`${values.out}/preview-${step}.png`, Uint8Array.fromBase64(String(image)));
});
on("image", ({ image }) => resolve(Uint8Array.fromBase64(String(image))));
stream.addEventListener("error", (event) => {
  reject(new Error(event instanceof MessageEvent ? event.data : "the connection was lost"));
});
const streamed = await promise.finally(() => stream.close());

// 4. The same seed gives the same bytes, whatever else the server is drawing.
const same = image.length === streamed.length && image.every((byte, i) => byte === streamed[i]);
console.log(same ? "the stream's image is the same file" : "the images differ");
