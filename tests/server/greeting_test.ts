import assert from "node:assert/strict";
import type { ServedModel } from "../../server/engine/engine.ts";
import { greeting, serverUrl } from "../../server/greeting.ts";

const model = {
  id: "cifar10-3125",
  path: "runs/cifar10",
  height: 32,
  width: 48,
  parameters: 1234567,
  classes: ["bird", "cat"],
  adapter: "llvmpipe",
  precision: "float32",
} as unknown as ServedModel;

Deno.test("it tells address, model, adapter and a command, a line each", () => {
  assert.deepEqual(greeting("http://127.0.0.1:8000", model, {}), [
    "address  http://127.0.0.1:8000",
    "model    cifar10-3125 (runs/cifar10, 48 x 32, 1,234,567 parameters, 2 classes)",
    "adapter  llvmpipe",
    "try      curl -fo image.png 'http://127.0.0.1:8000/generate?class=cat'",
  ]);
  assert.equal(
    greeting("", { ...model, precision: "mixed" }, {})[2],
    "adapter  llvmpipe, in mixed precision",
  );
});

Deno.test("a model that is guided by another says which", () => {
  assert.equal(greeting("", { ...model, guide: "epoch-5" }, {})[2], "guide    epoch-5");
});

Deno.test("the command asks for a class that there is, and brings the token from its file", () => {
  const command = (changes: Partial<ServedModel>, tokenFile?: string) =>
    greeting("http://x:1", { ...model, ...changes }, { tokenFile })[3];
  assert.match(command({ classes: ["red fox", "owl"] }), /generate\?class=red%20fox'$/);
  assert.match(command({ classes: [] }), /generate$/);
  assert.match(greeting("", { ...model, classes: [] }, {})[1], /unconditional\)$/);
  assert.match(
    command({}, "/run/it's"),
    /^try +curl -H "Authorization: Bearer \$\(head -n 1 '\/run\/it'\\''s'\)" -fo image\.png /,
  );
});

Deno.test("the command can be pasted into a shell whatever a class, a directory or a token file is called", async () => {
  const names = [
    '$(touch pwned)"',
    "`x`",
    "a'b",
    "\x1b[31mred\x07",
    "\x9b2J",
    "\ud800",
    "ä\u202eö",
    "-o x; y\n",
  ];
  for (const name of names) {
    const classes = [name];
    const lines = greeting("http://127.0.0.1:8000", {
      ...model,
      classes,
      id: name,
      path: name,
      adapter: name,
    }, {
      tokenFile: `/run/${name}`,
    });
    // deno-lint-ignore no-control-regex
    const obeyed = /[\u0000-\u001f\u007f-\u009f\u202e]|\p{Surrogate}/u;
    assert.doesNotMatch(lines.join(""), obeyed, JSON.stringify(name));
    if (Deno.build.os === "windows") continue;
    // Arguments after the shell: `head` gets the file, `curl` the address.
    const script = `head() { printf '%s' "$3" >&2; }; curl() { shift 4; printf '%s\\n' "$@"; }\n${
      lines[3].slice(9)
    }`;
    const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", script] }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const url = `http://127.0.0.1:8000/generate?class=${encodeURIComponent(name.toWellFormed())}`;
    assert.deepEqual([text(stdout), text(stderr)], [`${url}\n`, `/run/${name.toWellFormed()}`]);
  }
});

Deno.test("an address that stands for all is shown as one that can be called", () => {
  const url = (hostname: string) => serverUrl({ hostname, port: 80 });
  assert.equal(url("127.0.0.1"), "http://127.0.0.1:80");
  assert.equal(url("0.0.0.0"), "http://localhost:80");
  assert.equal(url("::"), "http://localhost:80");
  assert.equal(url("::1"), "http://[::1]:80");
});
