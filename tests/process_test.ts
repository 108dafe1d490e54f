import assert from "node:assert/strict";
import { ConfigError } from "../lib/errors.ts";
import { describeEnd, permissionFlag } from "../lib/process.ts";

Deno.test("a permission's flag has all its paths, and none that would be two", () => {
  assert.equal(permissionFlag("read", ["/a b", "c"]), "--allow-read=/a b,c");
  assert.throws(
    () => permissionFlag("ffi", ["/a", "/b,/"], "DENO_DIR"),
    (error) => error instanceof ConfigError && error.field === "DENO_DIR" && error.value === "/b,/",
  );
});

Deno.test("the end of a process is its exit code, its crash or its signal, and the reason that it gave", () => {
  const end = (code: number, signal: Deno.Signal | null, reason = "") =>
    describeEnd({ success: code === 0, code, signal }, reason);
  assert.equal(end(3, null, "no luck"), "ended with exit code 3: no luck");
  assert.equal(end(0, null), "ended with exit code 0");
  assert.equal(end(134, "SIGABRT"), "crashed (SIGABRT)");
  assert.equal(end(135, "SIGBUS", "no luck"), "crashed (SIGBUS): no luck");
  assert.equal(end(137, "SIGKILL"), "was ended by SIGKILL");
});
