import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../../lib/errors.ts";
import { type OnPhase, writeDirectoryDurable, writeDurable } from "../../lib/files/durable.ts";
import { emptyDirectory, inTemporaryDirectory, systemError, treeOf } from "../support/train/directories.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Fails the n-th phase of a write with `error`; with none, counts them. */
function failAt(n: number, error: Error): { onPhase: OnPhase; count: () => number } {
  let phases = 0;
  const onPhase = () => {
    if (phases++ === n) throw error;
  };
  return { onPhase, count: () => phases };
}

Deno.test("writeDurable makes directories, writes, replaces, and leaves nothing else", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "a/b/file");
    await writeDurable(path, bytes("one"));
    assert.deepEqual(await treeOf(directory), { "a/b/file": "one" });
    await writeDurable(path, bytes(""));
    assert.deepEqual(await treeOf(directory), { "a/b/file": "" });
  }, { onDisk: true });
});

Deno.test("writeDurable leaves the old file and nothing else when any phase fails", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "file");
    const dryRun = failAt(-1, new Error());
    await writeDurable(path, bytes("old"), dryRun);
    assert.equal(dryRun.count(), 5);
    for (let phase = 0; phase < 5; phase++) {
      await writeDurable(path, bytes("old"));
      const { onPhase } = failAt(phase, systemError("ENOSPC"));
      await assert.rejects(writeDurable(path, bytes("new"), { onPhase }), CheckpointError);
      const content = phase < 4 ? "old" : "new"; // the last phase comes after the rename
      assert.deepEqual(await treeOf(directory), { file: content }, `phase ${phase}`);
    }
  });
});

Deno.test("writeDirectoryDurable leaves the old or the new directory, whole, when any phase fails", async () => {
  await inTemporaryDirectory(async (parent) => {
    const directory = join(parent, "d");
    const old = new Map([["a", bytes("old")], ["gone", bytes("old")]]);
    const files = new Map([["a", bytes("new")], ["deep/er/b", bytes("new")], ["deep/c", bytes("new")]]);
    const oldTree = { "d/a": "old", "d/gone": "old" };
    const newTree = { "d/a": "new", "d/deep/er/b": "new", "d/deep/c": "new" };

    for (const before of [undefined, old]) {
      const seen = new Set<string>();
      for (let phase = 0, phases = 1; phase < phases; phase++) {
        await emptyDirectory(parent);
        if (before) await writeDirectoryDurable(directory, before);
        const { onPhase, count } = failAt(phase, systemError("EROFS"));
        const warnings: string[] = [];
        const onWarning = (message: string) => void warnings.push(message);
        const failed = await writeDirectoryDurable(directory, files, { onPhase, onWarning }).then(
          () => false,
          (error) => {
            assert.ok(error instanceof CheckpointError, error.stack);
            return true;
          },
        );
        phases = count() + (failed || warnings.length > 0 ? 1 : 0);
        if (warnings.length > 0) {
          assert.deepEqual(warnings.length, 1);
          assert.match(warnings[0], /^cannot remove .*\.previous: the file system is read-only/);
          seen.add(sorted(await treeOf(parent)));
          continue;
        }
        const tree = await treeOf(parent);
        if (!failed) assert.deepEqual(tree, newTree);
        seen.add(sorted(tree));
      }
      const rest = before ? oldTree : {};
      // If the removal of the replaced directory failed, it is still there, under another name.
      const previous = { ...newTree, "d.previous/a": "old", "d.previous/gone": "old" };
      const leftover = { ...newTree, ".tmp-denoise-x/a": "old", ".tmp-denoise-x/gone": "old" };
      const allowed = before ? [rest, newTree, previous, leftover] : [rest, newTree];
      assert.deepEqual([...seen].sort(), allowed.map(sorted).sort());
    }
  });
});

/** A tree as text to compare, with the random part of temporary names left out. */
const sorted = (tree: Record<string, string>) =>
  JSON.stringify(Object.entries(tree).sort()).replaceAll(/\.tmp-denoise-[-\w]+/g, ".tmp-denoise-x");

Deno.test(
  "a file has its permissions before it has content",
  { ignore: Deno.build.os === "windows" },
  async () => {
    await inTemporaryDirectory(async (directory) => {
      const path = join(directory, "secret");
      const permissions = async (file: string) => (await Deno.stat(file)).mode! & 0o777;
      let before: number | undefined;
      const onPhase: OnPhase = async (phase, file) => {
        if (phase === "write") before = await permissions(file);
      };
      for (const mode of [0o600, 0o640]) {
        await writeDurable(path, bytes("x"), { mode, onPhase });
        assert.deepEqual([before, await permissions(path)], [mode, mode]);
      }
    });
  },
);

Deno.test("everything is flushed before the rename, and the name after it", async () => {
  await inTemporaryDirectory(async (parent) => {
    let syncs = 0;
    const { sync } = Deno.FsFile.prototype;
    Deno.FsFile.prototype.sync = function () {
      syncs++;
      return sync.call(this);
    };
    const beforeRename: number[] = [];
    const onPhase = (phase: string) => void (phase === "rename" && beforeRename.push(syncs));
    try {
      await writeDurable(join(parent, "file"), bytes("x"), { onPhase });
      assert.deepEqual([beforeRename, syncs], [[1], 2]);
      const files = new Map(["a", "b/c", "b/d/e"].map((name) => [name, bytes("x")]));
      await writeDirectoryDurable(join(parent, "d"), files, { onPhase });
      assert.deepEqual(
        [beforeRename, syncs],
        [[1, 2 + 3 + 3], 2 + 3 + 3 + 1],
        "three files, three directories",
      );
    } finally {
      Deno.FsFile.prototype.sync = sync;
    }
  });
});

Deno.test("writeDirectoryDurable removes what crashed writes left, and nothing of anyone else's", async () => {
  await inTemporaryDirectory(async (parent) => {
    await Deno.mkdir(join(parent, ".tmp-denoise-crashed/deep"), { recursive: true });
    await Deno.writeTextFile(join(parent, ".tmp-denoise-crashed/deep/half"), "ha");
    await Deno.writeTextFile(join(parent, ".tmp-other"), "mine");
    const slow = writeDurable(join(parent, "slow"), bytes("slow"), {
      onPhase: async (phase) => {
        if (phase === "rename") {
          await writeDirectoryDurable(join(parent, "d"), new Map([["a", bytes("new")]]));
        }
      },
    });
    await slow;
    assert.deepEqual(await treeOf(parent), { ".tmp-other": "mine", "d/a": "new", slow: "slow" });
  });
});

const other =
  "writeDirectoryDurable leaves alone what other processes write, and removes it once they are killed";
Deno.test(other, { ignore: Deno.build.os === "windows" }, async () => {
  await inTemporaryDirectory(async (parent) => {
    const writers = await Promise.all([
      startWriter("file", join(parent, "file")),
      startWriter("directory", join(parent, "directory")),
      startWriter("file", join(parent, "killed")),
      startWriter("directory", join(parent, "killed too")),
    ]);
    for (const { kill } of writers.slice(2)) await kill();
    assert.equal((await leftoversIn(parent)).length, 4);
    await writeDirectoryDurable(join(parent, "d"), new Map([["a", bytes("new")]]));
    assert.equal((await leftoversIn(parent)).length, 2);
    for (const { finish } of writers.slice(0, 2)) assert.deepEqual(await finish(), { code: 0, error: "" });
    const written = { file: "whole", "directory/a": "whole", "directory/deep/b": "whole" };
    assert.deepEqual(await treeOf(parent), { "d/a": "new", ...written });
  });
});

/** Starts a process that writes, and waits until it is in the middle. */
async function startWriter(kind: "file" | "directory", path: string) {
  const script = fileURLToPath(new URL("../support/train/hold_write.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, kind, path],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read(); // "writing"
  const end = async () => {
    await child.stdin.close();
    const error = await new Response(child.stderr).text();
    const { code } = await child.status;
    await reader.cancel();
    return { code, error };
  };
  return {
    finish: end,
    kill: async () => {
      child.kill("SIGKILL");
      await end();
    },
  };
}

/** Temporary names in a directory. */
async function leftoversIn(directory: string): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(directory), ({ name }) => name);
  return names.filter((name) => name.startsWith(".tmp-denoise-"));
}

Deno.test("writeDirectoryDurable refuses a path that leads out of the directory", async () => {
  await inTemporaryDirectory(async (parent) => {
    for (const name of ["../evil", "a/../../evil", "/evil", ".."]) {
      await assert.rejects(
        writeDirectoryDurable(join(parent, "d"), new Map([[name, bytes("")]])),
        CheckpointError,
      );
    }
    assert.deepEqual(await treeOf(parent), {});
  });
});

for (
  const [code, advice] of [
    ["ENOSPC", /the disk is full; free some space/],
    ["EDQUOT", /the disk is full/],
    ["EROFS", /the file system is read-only; choose another directory/],
    ["EACCES", /permission denied; choose another directory or change/],
    ["EIO", /EIO/],
  ] as const
) {
  Deno.test(`a write that fails with ${code} says which path, why and what to do`, async () => {
    await inTemporaryDirectory(async (directory) => {
      const path = join(directory, "file");
      const { onPhase } = failAt(1, systemError(code));
      await assert.rejects(writeDurable(path, bytes("x"), { onPhase }), (error: Error) => {
        assert.ok(error.message.startsWith(`cannot write ${path}: `), error.message);
        assert.match(error.message, advice);
        assert.match(error.message, /nothing there was changed$/);
        return error instanceof CheckpointError;
      });
    });
  });
}

Deno.test("writeDurable says so when a file stands where a directory is needed", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "a"), "file");
    await assert.rejects(writeDurable(join(directory, "a/b"), bytes("x")), CheckpointError);
    assert.deepEqual(await treeOf(directory), { a: "file" });
  });
});
