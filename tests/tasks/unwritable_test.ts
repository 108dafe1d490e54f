/** Places that cannot be written to: told before anything is read or computed for them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { denoArguments, makeMaterial, runTask, TRAINING } from "../support/command.ts";
import { canMount, onSmallDisk } from "../support/small_disk.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test({
  name: "a read-only directory is told before data or model are looked for (needs the right to mount)",
  ignore: !canMount,
  async fn() {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      await runTask("train", [...TRAINING, "--steps", "1", "--sample-every", "0", "--out", "run"], directory);
      const disk = join(directory, "disk");
      await Deno.mkdir(disk);
      // The run is copied to where nothing can be written by then; a new run would be made in the current directory.
      const script = 'cp -r "$2" "$1" && mount -o remount,ro "$1" && cd "$1" && shift 2 && exec "$@"';
      for (
        const [task, ...args] of [
          ["train", "--data", "nowhere", "--out", "new"],
          ["train", "--data", "nowhere"],
          ["train", "--data", "nowhere", "--resume", "run"],
          ["sample", "--model", "nowhere"],
          ["sample", "--model", "nowhere", "--out", "pictures/of/cats"],
          ["sample", "--model", "nowhere", "--out", join(directory, "a.png"), "--gif", "a.gif"],
          ["export", "--model", "nowhere", "--out", "model"],
        ]
      ) {
        const deno = [Deno.execPath(), ...denoArguments(task, args)];
        const [command, ...rest] = onSmallDisk(4096, script, [disk, join(directory, "run"), ...deno]);
        const { code, stdout, stderr } = await new Deno.Command(command, {
          args: rest,
          env: { NO_COLOR: "1" },
        })
          .output();
        const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
        assert.match(
          err,
          /^error: cannot write \S+: the file system is read-only; choose another directory\n$/,
          `${task} ${args}`,
        );
        assert.deepEqual([code, out], [1, ""], `${task} ${args}`);
      }
    });
  },
});
