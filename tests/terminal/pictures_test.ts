import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { checkWritable, drawOrWarn, writePicture } from "../../terminal/pictures.ts";
import { createReporter } from "../../terminal/progress.ts";
import { inTemporaryDirectory, systemError, treeOf } from "../support/train/directories.ts";

Deno.test("a picture replaces the one before when it is whole, and not piece by piece", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "a/b.png");
    await writePicture(path, new TextEncoder().encode("old"));
    // Another name for the old file would show if that were written to.
    await Deno.link(path, join(directory, "same"));
    await writePicture(path, new TextEncoder().encode("new"));
    assert.deepEqual(await treeOf(directory), { "a/b.png": "new", same: "old" });
  });
});

Deno.test("a check that a file can be written leaves no trace, and removes that of a killed process", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "file"), "text");
    await Deno.writeTextFile(join(directory, ".tmp-denoise-killed"), "ha");
    await checkWritable("--out", join(directory, "file"));
    await checkWritable("--out", join(directory, "deep/er/new.png"));
    await checkWritable("--out", directory, true);
    await checkWritable("--out", join(directory, "deep/er"), true);
    for (
      const [path, isDirectory, message] of [
        [directory, false, /^--out: expected a file, not a directory, got /],
        [join(directory, "file"), true, /^--out: expected a directory, not a file, got /],
        [
          join(directory, "file/new.png"),
          false,
          /^--out: expected a path in a directory; .*file is a file, got /,
        ],
      ] as const
    ) {
      await assert.rejects(checkWritable("--out", path, isDirectory), (error: Error) => {
        assert.match(error.message, message);
        return error instanceof ConfigError;
      });
    }
    assert.deepEqual(await treeOf(directory), { file: "text" });
  });
});

Deno.test("a place that may not be written to is told before, with what to do", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "new/picture.png");
    for (const [name, code] of [["open", "EROFS"], ["stat", "EACCES"]] as const) {
      const before = Deno[name];
      Object.assign(Deno, { [name]: () => Promise.reject(systemError(code)) });
      try {
        await assert.rejects(checkWritable("--out", path), (error: Error) => {
          assert.ok(error.message.startsWith(`cannot write ${path}: `), error.message);
          assert.match(error.message, /choose another directory/);
          return error instanceof CheckpointError;
        });
      } finally {
        Object.assign(Deno, { [name]: before });
      }
    }
  });
});

Deno.test("a picture that cannot be drawn is a warning for people and for programs", async () => {
  for (const mode of ["lines", "json"] as const) {
    let text = "";
    const stream = { write: (part: string) => text += part };
    const reporter = createReporter({ mode, stream });
    const failed = await drawOrWarn(reporter, "loss.png", () => Promise.reject(new TypeError("no library")));
    const message = "loss.png: not drawn (no library)";
    assert.equal(
      text,
      mode === "json" ? `${JSON.stringify({ type: "warning", message })}\n` : `warning: ${message}\n`,
    );
    assert.deepEqual(failed, []);
    const picture = { path: "a", what: "b" };
    assert.deepEqual(await drawOrWarn(reporter, "loss.png", () => Promise.resolve([picture])), [picture]);
  }
});
