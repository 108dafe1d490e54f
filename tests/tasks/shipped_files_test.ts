import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { generateShippedFiles } from "../../tasks/shipped_files.ts";

Deno.test("digests are those of the files, sorted; models that are not there keep theirs", async () => {
  const bytes = new TextEncoder().encode("{}");
  const digest = createHash("sha256").update(bytes).digest("hex");
  const models = new Map([["b", new Map([["unet/w", bytes], ["config", bytes]])]]);
  const source = generateShippedFiles(models, { b: { old: "0" }, a: { kept: "1" } });
  const { SHIPPED_FILES } = await import(`data:text/typescript,${encodeURIComponent(source)}`);
  assert.deepEqual(Object.entries(SHIPPED_FILES), [["a", { kept: "1" }], ["b", {
    config: digest,
    "unet/w": digest,
  }]]);
  assert.deepEqual(Object.keys(SHIPPED_FILES.b), ["config", "unet/w"]);
});
