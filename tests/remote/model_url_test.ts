import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { cacheName, isModelUrl, parseModelUrl } from "../../lib/remote/model_url.ts";

Deno.test("URLs of directories and files are told apart, and paths are none", () => {
  const parse = (text: string) => {
    const { url, file, sha256 } = parseModelUrl(text);
    return [url.href, file, sha256];
  };
  const digest = "ab".repeat(32);
  assert.deepEqual(parse("https://a.org/m"), ["https://a.org/m/", undefined, undefined]);
  assert.deepEqual(parse(`https://a.org/m/#sha256=${digest}`), ["https://a.org/m/", undefined, digest]);
  assert.deepEqual(parse("https://a.org/w.pt?x=1"), ["https://a.org/w.pt?x=1", "w.pt", undefined]);
  assert.deepEqual(parse("https://a.org/%2e%2e%2fw.bin"), [
    "https://a.org/%2e%2e%2fw.bin",
    "weights.bin",
    undefined,
  ]);
  assert.deepEqual(parse("http://localhost:8000/m/")[1], undefined);
  assert.deepEqual(["https://a", "HTTP://a", "runs/a", "C:\\a", "file:///a"].map(isModelUrl), [
    ...[true, true],
    ...[false, false, false],
  ]);
});

for (
  const [text, allowed] of [
    ["http://example.org/m/", /https:\/\/, or with http:\/\/ on this machine/],
    ["http://127.0.0.1.example.org/m/", /on this machine/],
    ["https://me:secret@example.org/m/", /without a user name and password/],
    ["https://example.org/m/#main", /without #, or with #sha256=/],
    ["https://example.org/m/#sha256=12", /64 hexadecimal digits/],
    ["https://example.org/m/?a=1", /a directory's URL without \?/],
    ["https://", /a URL such as/],
  ] as const
) {
  Deno.test(`refused as a model's URL: ${text}`, () => {
    assert.throws(() => parseModelUrl(text), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, allowed);
      return true;
    });
  });
}

Deno.test("models of other URLs and variants have other names in the cache, of plain characters", () => {
  const name = (text: string, variant?: string) => cacheName(parseModelUrl(text), variant);
  const names = [
    ...[name("https://a.org/m"), name("https://a.org/m", "fp16"), name("https://a.org/n/m")],
    ...[name("https://a.org/x%20y/%F0/"), name("https://a.org/w.pt?a=1"), name("https://a.org/w.pt?a=2")],
  ];
  assert.equal(new Set(names).size, names.length);
  for (const each of names) assert.match(each, /^[\w.-]+$/);
  assert.equal(name("https://a.org/m"), name(`https://a.org/m/#sha256=${"0".repeat(64)}`));
});
