/** API keys of the application: who gets in, limits by key, and what a key owns. */
import assert from "node:assert/strict";
import { problemOf } from "../../support/server/harness.ts";
import { makeKey, withKey, withKeys } from "../../support/server/keys.ts";

const JSON_TYPE = { "Content-Type": "application/json" };

Deno.test("only a key that is known and has not ended gets in, and the answer says why others do not", async () => {
  const anna = makeKey("anna", {}, { expires: "1970-01-01T00:00:02Z" });
  const ended = makeKey("ended", {}, { expires: "1970-01-01T00:00:00.999Z" });
  await withKeys([anna, ended], {}, async ({ ask, ring, file }) => {
    for (const path of ["/models", "/classes", "/limits", "/generate", "/jobs", "/v1/models", "/metrics"]) {
      const answer = await ask(path);
      assert.equal(answer.status, 401, path);
      assert.equal(answer.headers.get("WWW-Authenticate"), 'Bearer realm="denoise"');
    }
    const detail = async (init: RequestInit) => (await problemOf(await ask("/models", init))).detail;
    assert.equal(await detail({}), "Authorization: the API key is missing");
    assert.equal(await detail(withKey(makeKey("anna"))), "Authorization: the API key is unknown or revoked");
    assert.equal(
      await detail(withKey(ended)),
      "Authorization: the API key expired at 1970-01-01T00:00:00.999Z",
    );
    assert.equal((await ask("/models", withKey(anna))).status, 200);
    for (const path of ["/healthz", "/", "/docs"]) assert.equal((await ask(path)).status, 200, path);
    const openAi = await (await ask("/v1/models", withKey(ended))).json();
    assert.equal(openAi.error.code, "invalid_api_key");

    await Deno.writeTextFile(file, '{ "version": 1, "keys": [] }');
    await ring.refresh();
    assert.equal(await detail(withKey(anna)), "Authorization: the API key is unknown or revoked");
  });
});

Deno.test("images and steps of a key are limited in every route that draws, and its name is said", async () => {
  const anna = makeKey("anna", { images: 2, steps: 8, jobImages: 3 });
  const bob = makeKey("bob", { images: 1000 });
  await withKeys([anna, bob], { settings: { jobs: "in the directory" } }, async ({ ask }) => {
    const get = (path: string, key = anna) => ask(path, withKey(key));
    const post = (path: string, body: unknown) =>
      ask(path, withKey(anna, { method: "POST", headers: JSON_TYPE, body: JSON.stringify(body) }));
    const allowed = "a whole number from 1 to 2, the limit of the API key anna";
    for (const path of ["/generate?count=3", "/generate/stream?count=3"]) {
      const { status, errors } = await problemOf(await get(path));
      assert.deepEqual([status, errors], [400, [{ field: "count", value: 3, allowed }]], path);
    }
    for (const path of ["/generate?steps=9", "/generate/stream?steps=9"]) {
      const { errors: [error] = [] } = await problemOf(await get(path));
      assert.equal(error.allowed, "a whole number from 1 to 8, the limit of the API key anna");
    }
    const openAi = await (await post("/v1/images/generations", { prompt: "a cat", n: 3 })).json();
    assert.match(openAi.error.message, /^count: expected .* the limit of the API key anna, got 3$/);
    const job = await problemOf(await post("/jobs", { count: 4 }));
    assert.equal(job.errors?.[0].allowed, "a whole number from 1 to 3, the limit of the API key anna");
    assert.equal((await problemOf(await post("/jobs", { steps: 9 }))).status, 400);
    assert.equal((await post("/jobs", { count: 3, steps: 8 })).status, 202);
    assert.equal((await get("/generate?count=2&steps=8")).status, 200);
    const server = await problemOf(await get("/generate?count=65", bob));
    assert.equal(server.errors?.[0].allowed, "a whole number from 1 to 64");

    assert.deepEqual(await (await get("/limits")).json(), {
      key: { name: "anna", admin: false },
      images: 2,
      job_images: 3,
      steps: 8,
      work: 1_000_000,
    });
  });
});

Deno.test("a default of the server's above a key's limit is lowered for it", async () => {
  const anna = makeKey("anna", { steps: 3 });
  await withKeys([anna], { settings: { steps: 10 } }, async ({ ask, engine }) => {
    assert.equal((await ask("/generate", withKey(anna))).headers.get("X-Steps"), "3");
    assert.equal(engine.added[0].steps, 3);
  });
});

Deno.test("work in progress is limited by key, wherever its requests come from", async () => {
  const [anna, bob] = [makeKey("anna", { work: 10 }), makeKey("bob")];
  await withKeys(
    [anna, bob],
    { engine: { automatic: undefined, rows: 64 } },
    async ({ app, ask, engine }) => {
      const query = "/generate?guidance=1&steps=8";
      const first = ask(query, withKey(anna));
      const from = { remoteAddr: { hostname: "198.51.100.7" } };
      const second = await app.request(query, withKey(anna), from);
      const problem = await problemOf(second);
      assert.deepEqual([problem.status, problem.type], [429, "urn:denoise:problem:too_much_work"]);
      assert.match(problem.detail, /^a client may have 10 network evaluations in progress/);
      assert.ok(Number(second.headers.get("Retry-After")) >= 1);
      const tooLarge = await problemOf(await ask("/generate?guidance=1&steps=11", withKey(anna)));
      assert.match(tooLarge.detail, /at most 10 steps x 1 images: 10 network evaluations a client/);
      const others = ask(query, withKey(bob));
      engine.tick(8);
      assert.deepEqual([(await first).status, (await others).status], [200, 200]);
    },
  );
});

Deno.test("beyond its requests a minute a key is told when to come back; only drawing counts", async () => {
  const [anna, bob] = [makeKey("anna", { perMinute: 2 }), makeKey("bob")];
  await withKeys([anna, bob], {}, async ({ ask, clock }) => {
    const draw = (key = anna) => ask("/generate", withKey(key));
    for (let i = 0; i < 5; i++) assert.equal((await ask("/models", withKey(anna))).status, 200);
    assert.equal((await ask("/generate", withKey(anna, { method: "HEAD" }))).status, 200);
    assert.equal((await draw()).status, 200);
    clock.advance(15_000);
    assert.equal((await draw()).status, 200);
    const refused = await draw();
    const problem = await problemOf(refused);
    assert.deepEqual([problem.status, problem.type], [429, "urn:denoise:problem:too_many_requests"]);
    assert.equal(
      problem.detail,
      "the API key anna may send 2 requests for images a minute; the next one in 45 s",
    );
    assert.deepEqual([refused.headers.get("Retry-After"), problem.retryAfter], ["45", 45]);
    const body = JSON.stringify({ prompt: "a cat" });
    const openAi = await ask(
      "/v1/images/generations",
      withKey(anna, { method: "POST", headers: JSON_TYPE, body }),
    );
    assert.deepEqual([openAi.status, openAi.headers.get("Retry-After")], [429, "45"]);
    assert.equal((await draw(bob)).status, 200);
    clock.advance(45_000);
    assert.equal((await draw()).status, 200);
  });
});

Deno.test("a job belongs to its key: no other sees it, takes its images, cancels it or finds it listed", async () => {
  const [anna, bob] = [makeKey("anna"), makeKey("bob")];
  await withKeys(
    [anna, bob],
    { settings: { jobs: "in the directory" } },
    async ({ ask, log, ring, file }) => {
      const body = JSON.stringify({ count: 2, steps: 2 });
      const made = await ask("/jobs", withKey(anna, { method: "POST", headers: JSON_TYPE, body }));
      const { id } = await made.json();
      for (const path of ["", "/events", "/images/0.png", "/images.zip"]) {
        assert.equal((await problemOf(await ask(`/jobs/${id}${path}`, withKey(bob)))).status, 404, path);
      }
      assert.equal((await ask(`/jobs/${id}`, withKey(bob, { method: "DELETE" }))).status, 404);
      const listed = async (key: typeof anna) =>
        (await (await ask("/jobs", withKey(key))).json()).jobs.length;
      assert.deepEqual([await listed(anna), await listed(bob)], [1, 0]);
      assert.equal((await problemOf(await ask(`/jobs?before=${id}`, withKey(bob)))).status, 400);
      assert.equal((await ask(`/jobs/${id}`, withKey(anna))).status, 200);
      const { key, client } = log.find(({ message }) => message === "job accepted")!;
      assert.deepEqual([key, client], ["anna", undefined]);

      // A key of the same name is another.
      await Deno.writeTextFile(file, JSON.stringify({ version: 1, keys: [{ ...bob.key, name: "anna" }] }));
      await ring.refresh();
      assert.equal((await ask(`/jobs/${id}`, withKey(bob))).status, 404);
    },
  );
});

Deno.test("the jobs of a client that is gone are cancelled, and those of others go on", async () => {
  const [anna, bob] = [makeKey("anna"), makeKey("bob")];
  const options = { settings: { jobs: "in the directory" }, engine: { automatic: undefined } };
  await withKeys([anna, bob], options, async ({ ask, jobs }) => {
    const body = JSON.stringify({ count: 2, steps: 2 });
    for (const key of [anna, bob]) {
      await ask("/jobs", withKey(key, { method: "POST", headers: JSON_TYPE, body }));
    }
    jobs!.cancelOf((client) => client === `key:${anna.key.id}`);
    const { cancelled, queued, running } = jobs!.store.counts();
    assert.deepEqual([cancelled, queued + running], [1, 1]);
  });
});

Deno.test("log and metrics have a key's name, and never the key; keys without --admin do not see them", async () => {
  const [anna, admin] = [makeKey("anna"), makeKey("admin", {}, { admin: true })];
  await withKeys([anna, admin], {}, async ({ ask, log, context }) => {
    await (await ask("/generate?steps=4&guidance=1&count=2", withKey(anna))).body?.cancel();
    await ask("/generate?steps=0", withKey(anna));
    await ask("/models");
    assert.deepEqual(log.map(({ key }) => key), ["anna", "anna", undefined]);
    assert.equal(log[0].client, "192.0.2.1");
    for (const path of ["/metrics", "/admin/reload"]) {
      const method = path === "/metrics" ? "GET" : "POST";
      const problem = await problemOf(await ask(path, withKey(anna, { method })));
      assert.deepEqual([problem.status, problem.type], [403, "urn:denoise:problem:not_admin"]);
    }
    assert.equal((await ask("/admin/reload", withKey(admin, { method: "POST" }))).status, 200);
    const text = async () => await (await ask("/metrics", withKey(admin))).text();
    const before = await text();
    assert.match(before, /^denoise_key_requests_total\{key="anna",status="200"\} 1$/m);
    assert.match(before, /^denoise_key_requests_total\{key="anna",status="400"\} 1$/m);
    assert.match(before, /^denoise_key_evaluations_total\{key="anna"\} 8$/m);
    await context.metrics.keepKeys(["admin"]);
    assert.doesNotMatch(await text(), /anna/);
    const all = JSON.stringify(log) + before;
    for (const { secret, key } of [anna, admin]) {
      assert.equal(all.includes(secret) || all.includes(key.sha256), false);
    }
  });
});

Deno.test("the API documentation describes the key, and lists classes only with one", async () => {
  const anna = makeKey("anna");
  await withKeys([anna], {}, async ({ ask }) => {
    const classes = async (init?: RequestInit) => {
      const document = await (await ask("/openapi.json", init)).json();
      assert.deepEqual(document.security, [{ token: [] }]);
      assert.equal(document.components.securitySchemes.token.scheme, "bearer");
      const { parameters } = document.paths["/generate"].get;
      return parameters.find(({ name }: { name: string }) => name === "class").schema.enum;
    };
    assert.equal(await classes(), undefined);
    assert.ok((await classes(withKey(anna))).includes("cat"));
  });
});
