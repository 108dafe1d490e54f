import assert from "node:assert/strict";
import { printable, shellQuote } from "../lib/shell.ts";

const NAMES = [
  ...["cat", "a b", "#1", "$(touch pwned)", "`id`", "it's", "\\", "a\\'b", "", "~", "*", "-x", "x=y;z", "!!"],
  ...[
    "\u001b[31m",
    "line\nfeed",
    "tab\there",
    "\u009b31m",
    "\u202ecat",
    "Ärger",
    "馬",
    "🐎",
    "\u007f",
    "'\u0007\\",
  ],
];

const BASH = { ignore: Deno.build.os === "windows" };

Deno.test("a quoted word comes out of a shell as it went in, and does nothing there", BASH, async () => {
  const words = NAMES.map(shellQuote);
  const command = `printf '%s\\0' ${words.join(" ")}`;
  const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", command] }).output();
  const text = new TextDecoder();
  assert.equal(text.decode(stderr), "");
  assert.deepEqual(text.decode(stdout).split("\0").slice(0, -1), NAMES);
});

Deno.test("words without meaning to a shell are left as they are", () => {
  for (const word of ["cat", "runs/2026-11-22-1", "/tmp/a.b,c", "--steps=3"]) {
    assert.equal(shellQuote(word), word);
  }
  assert.equal(shellQuote("a b"), "'a b'");
  assert.equal(shellQuote("#1"), "'#1'");
  assert.equal(shellQuote("$(touch pwned)"), "'$(touch pwned)'");
  assert.equal(shellQuote("\u001b[31m"), "$'\\033[31m'");
});

Deno.test("no control character gets to a terminal, and a line of JSON stays the same JSON", () => {
  assert.equal(
    printable("\u001b[31mred\r\u009b0m\u202e\ud800"),
    "\\u001b[31mred\\u000d\\u009b0m\\u202e\\ud800",
  );
  assert.equal(printable("two\nlines of Ärger, 馬 and 🐎"), "two\nlines of Ärger, 馬 and 🐎");
  for (const name of NAMES) {
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(printable(name), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    assert.deepEqual(JSON.parse(printable(JSON.stringify({ name }))), { name });
  }
});
