import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { defaultSettings, type ServerSettings } from "../../server/settings.ts";
import { serverArguments } from "../../terminal/server_process.ts";
import { canMount, onSmallDisk } from "../support/small_disk.ts";
import { launch, MODELS, type Running, watch, withServer } from "../support/server/process.ts";
import { startReceiver, verify } from "../support/server/receiver.ts";
import { makePng } from "../support/synthetic.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import type { JobAnswer } from "../../server/jobs/answers.ts";

async function post({ url }: Pick<Running, "url">, body: unknown): Promise<JobAnswer> {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`${url}/jobs`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(answer.status, 202, await answer.clone().text());
  return await answer.json();
}

async function until(
  { url }: Pick<Running, "url">,
  id: string,
  condition: (job: JobAnswer) => boolean,
): Promise<JobAnswer> {
  const end = performance.now() + 60_000;
  let job: JobAnswer | undefined;
  while (performance.now() < end) {
    job = await (await fetch(`${url}/jobs/${id}`)).json() as JobAnswer;
    if (condition(job)) return job;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited too long: ${JSON.stringify(job)}`);
}

async function bytes(url: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(url)).bytes());
}

Deno.test("a job survives SIGKILL and SIGTERM: its images are those of a process that was left alone", async () => {
  await inTemporaryDirectory(async (directory) => {
    const settings = { jobs: join(directory, "jobs.db"), maxBatch: 4 };
    const job = { count: 120, seed: 40, steps: 12, class: "1" };
    let id = "";
    let done = 0;
    await withServer(settings, async (server) => {
      ({ id } = await post(server, job));
      await until(server, id, ({ images }) => images.done >= 20);
      server.child.kill("SIGKILL");
    });
    await withServer(settings, async (server) => {
      ({ images: { done } } = await until(server, id, ({ images }) => images.done >= 50));
      server.child.kill("SIGTERM");
      assert.equal((await server.ended()).code, 0);
    });
    await withServer(settings, async (server) => {
      const ended = await until(server, id, ({ status }) => status !== "running" && status !== "queued");
      assert.deepEqual([ended.status, ended.images], ["done", { done: 120, total: 120 }]);
      assert.ok(done < 120);
      for (const i of [0, 19, 20, 21, 22, 23, 24, 49, 50, 51, 52, 53, 54, 55, 119]) {
        const direct = await bytes(`${server.url}/generate?seed=${40 + i}&steps=12&class=1&format=png`);
        assert.deepEqual(await bytes(`${server.url}/jobs/${id}/images/${i}.png`), direct, `image ${i}`);
      }
    });
  }, { onDisk: true });
});

Deno.test("a job with a picture survives SIGKILL: its images are those of edits in the foreground", async () => {
  const image = new File([new Uint8Array(await makePng(20, 16, (x, y) => [12 * x, 15 * y, 99]))], "a.png");
  const mask = new File([new Uint8Array(await makePng(20, 16, (x) => [0, 0, 0, x < 10 ? 0 : 255]))], "m.png");
  const form = (fields: Record<string, string | number>) => {
    const body = new FormData();
    for (const [name, file] of Object.entries({ image, mask })) body.set(name, file);
    for (const [name, value] of Object.entries({ ...fields, steps: 12, class: "1" })) {
      body.set(name, String(value));
    }
    return body;
  };
  await inTemporaryDirectory(async (directory) => {
    const settings = { jobs: join(directory, "jobs.db"), maxBatch: 4 };
    let id = "";
    await withServer(settings, async (server) => {
      const answer = await fetch(`${server.url}/jobs`, {
        method: "POST",
        body: form({ count: 60, seed: 40 }),
      });
      assert.equal(answer.status, 202, await answer.clone().text());
      ({ id } = await answer.json());
      await until(server, id, ({ images }) => images.done >= 10);
      server.child.kill("SIGKILL");
    });
    await withServer(settings, async (server) => {
      const ended = await until(server, id, ({ status }) => status !== "running" && status !== "queued");
      assert.deepEqual(
        [ended.status, ended.images],
        ["done", { done: 60, total: 60 }],
        `${ended.problem?.detail}`,
      );
      for (const i of [0, 9, 10, 11, 12, 13, 59]) {
        const body = form({ prompt: "anything", seed: 40 + i });
        const { data } = await (await fetch(`${server.url}/v1/images/edits`, { method: "POST", body }))
          .json();
        const direct = Buffer.from(data[0].b64_json, "base64");
        assert.deepEqual(await bytes(`${server.url}/jobs/${id}/images/${i}.png`), direct, `image ${i}`);
      }
    });
  }, { onDisk: true });
});

Deno.test("a second server on the same database refuses to start, and says why", async () => {
  await inTemporaryDirectory(async (directory) => {
    const settings = { jobs: join(directory, "jobs.db") };
    await withServer(settings, async () => {
      const { code, err } = await launch(settings).ended();
      assert.deepEqual([code, err], [
        2,
        `error: --jobs: expected a file that no other server uses, got ${JSON.stringify(settings.jobs)}\n`,
      ]);
    });
  }, { onDisk: true });
});

Deno.test("the server's process may connect to the hosts of webhooks, and tells them of the end of a job", async () => {
  await using receiver = startReceiver(() => new Response(null, { status: 204 }));
  await inTemporaryDirectory(async (directory) => {
    const settings = { jobs: join(directory, "jobs.db"), webhookHosts: [receiver.host] };
    await withServer(settings, async (server) => {
      const webhook = { url: receiver.url };
      const { id, webhook: { secret } = {} } = await post(server, { count: 2, steps: 1, webhook });
      await receiver.until(1);
      const { type, data } = verify(receiver.received[0]!, secret!);
      assert.deepEqual([type, (data as JobAnswer).id], ["job.done", id]);
      await until(server, id, ({ webhook }) => webhook!.status === "delivered");
    });
  }, { onDisk: true });
});

Deno.test({
  name: "on a disk that is full jobs wait, requests are served, and with space again the job is finished",
  ignore: !canMount,
  fn: () =>
    inTemporaryDirectory(async (disk) => {
      const settings: ServerSettings = {
        ...defaultSettings,
        models: MODELS,
        port: 0,
        jobs: join(disk, "jobs.db"),
      };
      const fill = 'head -c 3800000 /dev/zero >"$1/filler" && shift && exec "$@"';
      const [command, ...args] = onSmallDisk(4096, fill, [
        disk,
        Deno.execPath(),
        ...serverArguments(settings),
      ]);
      const env = { DENO_WEBGPU_BACKEND: "vulkan" };
      const child = new Deno.Command(command!, {
        args,
        env,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const server = watch(child);
      try {
        const { url } = await server.logged("ready") as { url: string };
        const { id } = await post({ url }, { count: 300, steps: 1, scale: 4 });
        const full = await until(
          { url },
          id,
          ({ waiting, status }) => waiting !== undefined || status === "done",
        );
        assert.equal(full.waiting, "the images cannot be stored: database or disk is full");
        assert.ok((await bytes(`${url}/generate?steps=1`)).length > 50);
        // The mount is this process's alone
        await Deno.remove(`/proc/${child.pid}/root${disk}/filler`);
        const ended = await until({ url }, id, ({ status }) => status === "done");
        assert.equal(ended.images.done, 300);
      } finally {
        child.kill("SIGKILL");
        await server.ended();
      }
    }, { onDisk: true }),
});
