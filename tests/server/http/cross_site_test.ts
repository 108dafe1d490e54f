import assert from "node:assert/strict";
import { harness, problemOf } from "../../support/server/harness.ts";

const TOKEN = "correct-horse-battery-staple";
const IMAGES = "/v1/images/generations";

Deno.test("other origins are let in only where one is named, and only that one", async () => {
  const origin = "https://gallery.example";
  const preflight = (from: string) => ({
    method: "OPTIONS",
    headers: {
      "Origin": from,
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "authorization,x-stainless-retry-count",
    },
  });
  const closed = harness();
  for (
    const response of [
      await closed.ask("/generate", { headers: { Origin: origin } }),
      await closed.ask(IMAGES, preflight(origin)),
    ]
  ) {
    assert.ok([...response.headers.keys()].every((name) => !name.startsWith("access-control-")));
  }

  // A preflight carries no token.
  const open = harness({ settings: { cors: origin }, token: TOKEN });
  const allowed = await open.ask(IMAGES, preflight(origin));
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get("Access-Control-Allow-Origin"), origin);
  assert.deepEqual(allowed.headers.get("Access-Control-Allow-Headers")!.split(","), [
    "authorization",
    "x-stainless-retry-count",
  ]);
  assert.match(allowed.headers.get("Access-Control-Allow-Methods")!, /POST/);
  assert.equal(allowed.headers.get("Access-Control-Allow-Credentials"), null);
  const drawn = await open.ask("/generate", {
    headers: { Origin: origin, Authorization: `Bearer ${TOKEN}` },
  });
  assert.equal(drawn.headers.get("Access-Control-Allow-Origin"), origin);
  assert.match(drawn.headers.get("Access-Control-Expose-Headers")!, /X-Seed/);
  assert.match(drawn.headers.get("Vary")!, /Origin/);
  const refused = await open.ask("/generate", { headers: { Origin: origin } });
  assert.deepEqual([refused.status, refused.headers.get("Access-Control-Allow-Origin")], [401, origin]);

  for (const other of ["https://gallery.example.evil.example", "http://gallery.example", "null"]) {
    const response = await open.ask(IMAGES, preflight(other));
    assert.equal(response.headers.get("Access-Control-Allow-Origin"), null, other);
  }
  const any = harness({ settings: { cors: "*" } });
  const response = await any.ask("/classes", { headers: { Origin: "https://other.example" } });
  assert.equal(response.headers.get("Access-Control-Allow-Origin"), "*");
});

Deno.test("pages of other sites start nothing where none may call, and a link that is followed works", async () => {
  const from = (site: string, mode: string, dest: string) => ({
    headers: { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest },
  });
  const picture = from("cross-site", "no-cors", "image");
  const { ask, engine } = harness();
  for (const path of ["/generate", "/generate/stream", "/classes"]) {
    for (const request of [picture, from("cross-site", "navigate", "iframe")]) {
      const refused = await ask(path, request);
      assert.equal(refused.status, 403, path);
      assert.match((await problemOf(refused)).detail, /--cors/);
    }
  }
  assert.equal((await ask(IMAGES, { method: "POST", body: '{"prompt":"cat"}', ...picture })).status, 403);
  assert.equal(engine.added.length, 0);
  const fine = [
    from("same-origin", "cors", "empty"),
    from("none", "navigate", "document"),
    from("cross-site", "navigate", "document"),
    {},
  ];
  for (const request of fine) assert.equal((await ask("/generate", request)).status, 200);
  assert.equal((await ask("/", picture)).status, 200);
  assert.equal((await harness({ settings: { cors: "*" } }).ask("/generate", picture)).status, 200);
});

Deno.test("--cors lets one origin in, and the others stay out as without it", async () => {
  const origin = "https://app.example";
  const { ask, engine } = harness({ settings: { cors: origin } });
  const from = (site: string, mode: string, more: Record<string, string> = {}) => ({
    headers: { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "image", ...more },
  });
  const refused = [
    from("cross-site", "no-cors"), // <img> of any page: it does not say whose
    from("cross-site", "cors", { Origin: "https://evil.example" }),
    from("cross-site", "cors", { Origin: "https://app.example.evil.example" }),
    from("cross-site", "cors", { Origin: "null" }),
  ];
  for (const path of ["/generate", "/generate/stream", "/classes"]) {
    for (const request of refused) {
      const answer = await ask(path, request);
      assert.deepEqual([answer.status, answer.headers.get("Vary")], [403, "Origin"], path);
      assert.equal(answer.headers.get("Access-Control-Allow-Origin"), null);
      assert.equal(answer.headers.get("Cross-Origin-Resource-Policy"), "same-origin");
      assert.match((await problemOf(answer)).detail, /pages of https:\/\/app\.example .*crossorigin/);
    }
  }
  assert.equal(engine.added.length, 0);
  for (
    const request of [
      from("cross-site", "cors", { Origin: origin }), // <img crossorigin>, fetch
      from("same-origin", "no-cors"),
      from("cross-site", "navigate", { "Sec-Fetch-Dest": "document" }),
      {},
    ]
  ) {
    const answer = await ask("/generate", request);
    assert.deepEqual([answer.status, answer.headers.get("Cross-Origin-Resource-Policy")], [
      200,
      "same-origin",
    ]);
  }
  const any = await harness({ settings: { cors: "*" } }).ask("/generate", from("cross-site", "no-cors"));
  assert.deepEqual([any.status, any.headers.get("Cross-Origin-Resource-Policy")], [200, "cross-origin"]);
});

Deno.test("a browser that tells no Sec-Fetch-Site, as over plain HTTP, is judged by its Origin", async () => {
  const publicUrl = "https://draw.example/images";
  const status = async (url: string, origin: string | undefined, settings = {}) => {
    const headers: Record<string, string> = origin === undefined ? {} : { Origin: origin };
    return (await harness({ settings: { host: "0.0.0.0", ...settings } }).ask(url, { headers })).status;
  };
  const classes = "http://192.168.1.5:8000/classes";
  assert.equal(await status(classes, undefined), 200);
  assert.equal(await status(classes, "http://192.168.1.5:8000"), 200);
  for (const origin of ["http://192.168.1.5", "http://evil.example", "null", "not an origin"]) {
    assert.equal(await status(classes, origin), 403, origin);
  }
  assert.equal(await status(classes, "https://draw.example"), 403);
  assert.equal(await status(classes, "https://draw.example", { publicUrl }), 200);
  assert.equal(await status(classes, "http://app.example:3000", { cors: "http://app.example:3000" }), 200);
});
