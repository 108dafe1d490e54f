import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TrainingError } from "../../lib/errors.ts";
import { lockDirectory, withDirectoryLock } from "../../lib/files/directory_lock.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("lockDirectory refuses a directory that this process holds, until it is released", async () => {
  await inTemporaryDirectory(async (parent) => {
    const directory = join(parent, "made/run");
    const lock = await lockDirectory(directory);
    await assert.rejects(lockDirectory(directory), (error: Error) => {
      assert.ok(error instanceof TrainingError);
      const start = `${directory} is in use by another process (process ${Deno.pid} since `;
      assert.ok(error.message.startsWith(start), error.message);
      assert.match(error.message, /wait for it, stop it, or choose another directory/);
      return true;
    });
    lock.release();
    lock.release();
    {
      using _again = await lockDirectory(directory);
      await assert.rejects(lockDirectory(directory), TrainingError);
    }
    (await lockDirectory(directory)).release();
  });
});

const another = "lockDirectory refuses a directory that another process holds, until that is killed";
Deno.test(another, { ignore: Deno.build.os === "windows" }, async () => {
  await inTemporaryDirectory(async (directory) => {
    const script = fileURLToPath(new URL("../support/train/hold_lock.ts", import.meta.url));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", script, directory],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read(); // "locked"
    await assert.rejects(lockDirectory(directory), new RegExp(`process ${child.pid} `));
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    (await lockDirectory(directory)).release();
  });
});

Deno.test("withDirectoryLock takes turns, also after a failure, and runs without a lock where none can be had", async () => {
  await inTemporaryDirectory(async (directory) => {
    const place = join(directory, "made/here");
    let [inside, most] = [0, 0];
    const turn = async (i: number) => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside--;
      if (i === 1) throw new RangeError("of its own");
      return i;
    };
    const turns = await Promise.allSettled([0, 1, 2, 3].map((i) => withDirectoryLock(place, () => turn(i))));
    assert.deepEqual(turns.map(({ status }) => status === "fulfilled"), [true, false, true, true]);
    assert.equal(most, 1);
    await Deno.writeTextFile(join(directory, "file"), "");
    assert.equal(await withDirectoryLock(join(directory, "file/below"), () => turn(4)), 4);
  });
});
