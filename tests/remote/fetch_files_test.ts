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

Deno.test("fetchModelFiles does without optional files, whatever a host answers in their place", async () => {
  const absent: Response[] = [
    new Response("not found", { status: 404 }),
    new Response("<Error><Code>AccessDenied</Code></Error>", { status: 403 }),
    new Response("<!doctype html>", { headers: { "content-type": "text/html; charset=utf-8" } }),
  ];
  const usual = globalThis.fetch;
  for (const answer of absent) {
    globalThis.fetch = (url) =>
      Promise.resolve(/unet/.test(String(url)) ? new Response("abc") : answer.clone());
    try {
      const { files } = await fetchModelFiles("https://models.example/cat");
      assert.deepEqual([...files.keys()].map((name) => name.split("/")[0]), ["unet", "unet"]);
      globalThis.fetch = () => Promise.resolve(answer.clone());
      await assert.rejects(fetchModelFiles("https://models.example/cat"), {
        name: "CheckpointError",
        message: "https://models.example/cat/unet/config.json is missing",
      });
    } finally {
      globalThis.fetch = usual;
    }
  }
});
