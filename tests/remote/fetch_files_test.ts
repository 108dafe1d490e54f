import assert from "node:assert/strict";
import { fetchModelFiles } from "../../lib/remote/fetch_files.ts";

Deno.test("fetchModelFiles reads bodies of browsers whose streams cannot be iterated", async () => {
  const usual = globalThis.fetch;
  globalThis.fetch = () => {
    const response = new Response("abc");
    Object.defineProperty(response.body, Symbol.asyncIterator, { value: undefined });
    return Promise.resolve(response);
  };
  try {
    const seen: number[] = [];
    const { files } = await fetchModelFiles("https://models.example/cat", {
      onProgress: ({ bytes }) => seen.push(bytes),
    });
    assert.deepEqual(
      [...files.values()].map((bytes) => new TextDecoder().decode(bytes)),
      Array(4).fill("abc"),
    );
    assert.deepEqual(seen, Array(4).fill(3));
  } finally {
    globalThis.fetch = usual;
  }
});
