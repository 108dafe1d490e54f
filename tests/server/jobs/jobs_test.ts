import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { harness, problemOf } from "../../support/server/harness.ts";
import { hasEnded, withJobs } from "../../support/server/jobs.ts";

Deno.test("each image of a job is the same file as /generate draws with its seed", async () => {
  await withJobs({}, async ({ ask, accepted, until }) => {
    const { id, status, images, links } = await accepted({
      count: 25,
      seed: 7,
      steps: 3,
      scale: 2,
      class: "any",
    });
    assert.match(id, /^job_[0-9a-f]{32}$/);
    assert.ok(status === "queued" || status === "running", status);
    assert.deepEqual(images, { done: 0, total: 25 });
    const ended = await until(id, hasEnded);
    assert.deepEqual([ended.status, ended.images], ["done", { done: 25, total: 25 }]);
    assert.ok(
      ended.created <= ended.started! && ended.started! <= ended.ended! && ended.ended! < ended.expires!,
    );
    for (const i of [0, 13, 24]) {
      const image = await ask(links.images.replace("0.png", `${i}.png`));
      assert.equal(image.headers.get("Content-Type"), "image/png");
      const direct = await ask(`/generate?seed=${7 + i}&steps=3&scale=2&format=png`);
      assert.deepEqual(Buffer.from(await image.bytes()), Buffer.from(await direct.bytes()));
    }
  });
});

Deno.test("a job is stored with all defaults, so that later ones change nothing", async () => {
  await withJobs({ settings: { sampler: "ddim", guidance: 3 } }, async ({ accepted }) => {
    const { request } = await accepted({ class: "cat", guidance_interval: "0.5,inf" });
    assert.ok(Number.isSafeInteger(request.seed));
    const { seed: _, ...others } = request;
    assert.deepEqual(others, {
      class: "cat",
      scale: 1,
      steps: 4,
      sampler: "ddim",
      spacing: "leading",
      guidance: 3,
      guidance_interval: "0.5,inf",
    });
  });
});

Deno.test("an Idempotency-Key gives the same job again, and refuses another request", async () => {
  await withJobs({}, async ({ accepted, post }) => {
    const key = { "Idempotency-Key": "a-key" };
    const { id } = await accepted({ count: 2, seed: 1, steps: 2 }, key);
    const again = await post({ steps: 2, seed: 1, count: 2, class: null }, key);
    assert.equal(again.status, 200, "order of fields and null do not matter");
    assert.equal((await again.json()).id, id);
    const other = await problemOf(await post({ count: 3, seed: 1, steps: 2 }, key));
    assert.deepEqual([other.status, other.type], [422, "urn:denoise:problem:idempotency_key_reused"]);
    assert.notEqual((await accepted({ count: 2, seed: 1, steps: 2 })).id, id);
    assert.equal((await problemOf(await post({}, { "Idempotency-Key": "x".repeat(256) }))).status, 400);
  });
});

Deno.test("a cancelled job draws nothing more, keeps its images, and stays cancelled", async () => {
  await withJobs({ engine: { automatic: 5, rows: 2 } }, async ({ ask, accepted, until, status, engine }) => {
    const { id } = await accepted({ count: 1000, steps: 2, guidance: 1 });
    await until(id, ({ images }) => images.done >= 2);
    const cancelled = await (await ask(`/jobs/${id}`, { method: "DELETE" })).json();
    assert.equal(cancelled.status, "cancelled");
    assert.deepEqual(engine.batch, [], "images in progress leave the batch");
    const { images: { done } } = cancelled;
    assert.equal((await ask(`/jobs/${id}/images/0.png`)).status, 200);
    const missing = await problemOf(await ask(`/jobs/${id}/images/999.png`));
    assert.deepEqual([missing.status, missing.type], [404, "urn:denoise:problem:image_not_found"]);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal((await status(id)).images.done, done);
    assert.deepEqual(await (await ask(`/jobs/${id}`, { method: "DELETE" })).json(), await status(id));
  });
});

Deno.test("requests come first: a job draws nothing in steps that it would slow down", async () => {
  const slow = { rows: 4, automatic: 1, stepSeconds: (rows: number) => rows / 100 };
  await withJobs({ engine: slow }, async ({ ask, accepted, until, engine }) => {
    const { id } = await accepted({ count: 200, steps: 10, guidance: 1 });
    await until(id, ({ images }) => images.done > 0);
    await (await ask("/generate?steps=200&sampler=ddpm&guidance=1&seed=4242424242")).bytes();
    const before = engine.added.findIndex(({ seed }) => seed === 4242424242);
    const { images: { done } } = await until(id, ({ images }) => images.done > 0);
    assert.ok(engine.added.length - before <= 5, "none was begun during the request's 200 steps");
    assert.ok(done < 200);
  });
});

Deno.test("events tell of a job's progress until its end", async () => {
  await withJobs({ engine: { automatic: 1, rows: 2 } }, async ({ ask, accepted }) => {
    const { id } = await accepted({ count: 20, steps: 4, guidance: 1 });
    const text = await (await ask(`/jobs/${id}/events`)).text();
    const states = text.split("\n\n").filter((event) => event.startsWith("event: job\n"))
      .map((event) => JSON.parse(event.split("data: ")[1]!));
    assert.ok(states.length >= 2);
    assert.equal(states.at(-1).status, "done");
    const done = states.map(({ images }) => images.done);
    assert.deepEqual(done, done.toSorted((a, b) => a - b));
    const after = await (await ask(`/jobs/${id}/events`)).text();
    assert.equal(after.match(/event: job/g)!.length, 1, "an ended job has one event");
  });
});

Deno.test("the archive has every image that is drawn, and its length in advance", async () => {
  await withJobs({}, async ({ ask, accepted, until }) => {
    const { id } = await accepted({ count: 11, steps: 2 });
    await until(id, hasEnded);
    const answer = await ask(`/jobs/${id}/images.zip`);
    const bytes = Buffer.from(await answer.bytes());
    assert.equal(Number(answer.headers.get("Content-Length")), bytes.length);
    const names = [...new Set(bytes.toString("latin1").match(/\d\d\.png/g))];
    assert.deepEqual(names, Array.from({ length: 11 }, (_, i) => `${String(i).padStart(2, "0")}.png`));
    const image = Buffer.from(await (await ask(`/jobs/${id}/images/10.png`)).bytes());
    assert.ok(bytes.includes(image), "files are stored as they are");
  });
});

Deno.test("jobs are listed page by page; without a token, those of the client alone", async () => {
  await withJobs({}, async ({ app, ask, accepted, context }) => {
    const ids: string[] = [];
    for (let seed = 0; seed < 5; seed++) ids.unshift((await accepted({ seed, steps: 1 })).id);
    const pages: string[][] = [];
    for (let next: string | undefined = "/jobs?limit=2"; next;) {
      const page: { jobs: { id: string }[]; next?: string } = await (await ask(next)).json();
      pages.push(page.jobs.map(({ id }) => id));
      next = page.next;
    }
    assert.deepEqual(pages, [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
    const other = await app.request("/jobs", {}, { remoteAddr: { hostname: "192.0.2.2" } });
    assert.deepEqual(await other.json(), { jobs: [] });
    assert.equal(context.token, undefined);
    for (const query of ["limit=0", "limit=101", "limit=x", "before=none", "page=2"]) {
      assert.equal((await ask(`/jobs?${query}`)).status, 400, query);
    }
  });
});

Deno.test("all jobs and those of a client are limited in number, with the time to try again", async () => {
  await withJobs({ settings: { maxJobs: 4 }, engine: { automatic: undefined } }, async ({ app, post }) => {
    const statuses = [];
    for (let seed = 0; seed < 3; seed++) statuses.push((await post({ seed })).status);
    assert.deepEqual(statuses, [202, 202, 429]);
    const from = (hostname: string) =>
      app.request("/jobs", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: "{}",
      }, { remoteAddr: { hostname } });
    const others = [await from("192.0.2.2"), await from("192.0.2.3"), await from("192.0.2.4")];
    assert.deepEqual(others.map(({ status }) => status), [202, 202, 503]);
    const refused = await problemOf(others[2]!);
    assert.equal(refused.type, "urn:denoise:problem:jobs_full");
    assert.equal(others[2]!.headers.get("Retry-After"), String(refused.retryAfter));
  });
});

Deno.test("hostile bodies are refused with what is allowed, and store nothing", async () => {
  await withJobs({ settings: { maxJobImages: 50 } }, async ({ ask, post, jobs }) => {
    const cases: [unknown, RegExp][] = [
      [{ count: 51 }, /count: expected a whole number from 1 to 50/],
      [{ count: 0 }, /count: /],
      [{ count: 1.5 }, /count: /],
      [{ count: "2" }, /count: /],
      [{ seed: -1 }, /seed: /],
      [{ seed: 2 ** 53 }, /seed: /],
      [{ steps: 1e9 }, /steps: /],
      [{ class: "zebra" }, /class: /],
      [{ class: { $gt: "" } }, /class: /],
      [{ class: "x".repeat(10_000) }, /class: /],
      [{ sampler: "' OR 1=1; DROP TABLE jobs" }, /sampler: /],
      [{ scale: 16.5 }, /scale: /],
      [{ guidance: -1 }, /guidance: /],
      [{ sampler: "ddim", churn: 3 }, /churn: /],
      [{ guidance_interval: "3,2" }, /guidance_interval: /],
      [{ __proto__: null, constructor: 1 }, /constructor: unknown parameter/],
      [{ format: "png" }, /format: unknown parameter/],
      [[], /must be a JSON object/],
      ["text", /must be a JSON object/],
    ];
    for (const [body, message] of cases) {
      const problem = await problemOf(await post(body));
      assert.equal(problem.status, 400);
      assert.match(problem.detail, message);
    }
    for (
      const [init, status] of [
        [{ body: "{}" }, 415],
        [{ body: "{", headers: { "Content-Type": "application/json" } }, 400],
        [{ body: "[".repeat(60_000), headers: { "Content-Type": "application/json" } }, 400],
        [{ body: " ".repeat(4 * 2 ** 20 + 1), headers: { "Content-Type": "application/json" } }, 413],
      ] as const
    ) {
      assert.equal((await ask("/jobs", { method: "POST", ...init })).status, status);
    }
    for (const path of ["..%2f..%2fetc", "job_0' OR '1'='1", "%00", "job_" + "0".repeat(32)]) {
      assert.equal((await ask(`/jobs/${encodeURIComponent(path)}`)).status, 404, path);
    }
    assert.deepEqual(jobs.store.list(undefined, 100), []);
  });
});

Deno.test("file names of images are plain numbers", async () => {
  await withJobs({}, async ({ ask, accepted, until }) => {
    const { id } = await accepted({ count: 2, steps: 1 });
    await until(id, hasEnded);
    assert.equal((await ask(`/jobs/${id}/images/1.png`)).status, 200);
    for (
      const name of ["2.png", "01.png", "-1.png", "1.0.png", "1e0.png", "1.jpg", "99999999999999999999.png"]
    ) {
      assert.equal((await ask(`/jobs/${id}/images/${name}`)).status, 404, name);
    }
  });
});

Deno.test("a server without --jobs says so", async () => {
  const { ask } = harness();
  const headers = { "Content-Type": "application/json" };
  for (const answer of [await ask("/jobs"), await ask("/jobs", { method: "POST", headers, body: "{}" })]) {
    const { status, detail } = await problemOf(answer);
    assert.equal(status, 403);
    assert.match(detail, /started without --jobs FILE/);
  }
});
