/** API keys with a real server and the task that manages them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { OpenAI } from "openai";
import { runTask } from "../support/command.ts";
import { askUntil, launch, withServer } from "../support/server/process.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("a server follows its keys: added, rotated and revoked by the task, without a restart", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    const keys = async (...args: string[]) => {
      const { code, out, err } = await runTask("keys", [...args, "--keys", file], directory);
      assert.equal(code, 0, err);
      return out.trim();
    };
    const anna = await keys("add", "anna", "--images", "2");
    await withServer({ keys: file, jobs: join(directory, "jobs.db") }, async ({ url, logged, log }) => {
      const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });
      const status = async (key: string, path = "/models") => {
        const answer = await fetch(url + path, { headers: bearer(key) });
        await answer.body?.cancel();
        return answer.status;
      };
      assert.deepEqual([await status(anna), await status("dn_other")], [200, 401]);
      const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: anna, maxRetries: 0 });
      const { data } = await openai.images.generate({ prompt: "1", size: "8x8" as "auto" });
      assert.equal(data?.length, 1);
      await assert.rejects(
        openai.images.generate({ prompt: "1", n: 3 }),
        /400 count: .* the limit of the API key anna/,
      );

      const job = await fetch(`${url}/jobs`, {
        method: "POST",
        headers: { ...bearer(anna), "Content-Type": "application/json" },
        body: JSON.stringify({ count: 10_000, steps: 1000 }),
      });
      const { id } = await job.json();
      const bob = await keys("add", "bob");
      await logged("keys read again");
      assert.deepEqual([await status(bob), await status(bob, `/jobs/${id}`)], [200, 404]);
      assert.equal(await status(anna, `/jobs/${id}`), 200);
      const rotated = await keys("rotate", "anna");
      await askUntil(
        `${url}/readyz`,
        () => log.filter(({ message }) => message === "keys read again").length === 2,
      );
      assert.deepEqual([await status(anna), await status(rotated)], [401, 200]);
      assert.equal(await status(rotated, `/jobs/${id}`), 200);
      await keys("revoke", "anna");
      const ended = await logged("job ended");
      assert.deepEqual([ended.job, ended.state], [id, "cancelled"]);
      assert.equal(await status(rotated), 401);
      const text = JSON.stringify(log) + await Deno.readTextFile(file);
      for (const secret of [anna, bob, rotated]) assert.equal(text.includes(secret), false);
    });
  });
});

Deno.test("a server does not start with keys that others may write, or beside a token", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    await Deno.writeTextFile(file, '{ "version": 1, "keys": [] }');
    await Deno.chmod(file, 0o622);
    for (
      const [settings, problem] of [
        [{ keys: file }, /^error: --keys: expected a file that only its owner may write/m],
        [{ keys: join(directory, "none.json") }, /^error: --keys: expected a file that can be read/m],
        [{ keys: file, tokenFile: file }, /keys: expected none where there is a tokenFile/],
      ] as const
    ) {
      const server = launch(settings);
      const { code, err } = await server.ended();
      await server.child.stdin.close().catch(() => {});
      assert.equal(code, 2);
      assert.match(err, problem);
    }
  });
});
