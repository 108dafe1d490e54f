import assert from "node:assert/strict";
import { APIError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError } from "openai";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { samplerNames } from "../../../lib/diffusion/sampler.ts";
import { byHand, bytesAt, clientOf, failure, serving } from "../../support/server/openai_client.ts";
import { until } from "../../support/until.ts";

Deno.test("openai: wrong fields become BadRequestError that names the field and what is allowed", async () => {
  const classes = CIFAR10_CLASSES.join(", ");
  const sizes = Array.from({ length: 16 }, (_, i) => `${32 * (i + 1)}x${32 * (i + 1)}`).join(", ");
  const whole = (least: number, most: number) => `a whole number from ${least} to ${most}`;
  const cases: [Record<string, unknown>, string, string][] = [
    [{ prompt: undefined }, "prompt", "a text of 1 to 1000 characters, got nothing"],
    [{ prompt: "" }, "prompt", 'a text of 1 to 1000 characters, got ""'],
    [{ prompt: 5 }, "prompt", "a text of 1 to 1000 characters, got 5"],
    [{ prompt: null }, "prompt", "a text of 1 to 1000 characters, got null"],
    [{ prompt: ["a cat"] }, "prompt", 'a text of 1 to 1000 characters, got ["a cat"]'],
    [{ prompt: "cat ".repeat(251) }, "prompt", "a text of 1 to 1000 characters"],
    [{ prompt: "a house" }, "prompt", `a class word, one of ${classes}, got "a house"`],
    [{ prompt: "a cat and a dog" }, "prompt", 'one class, not cat and dog at once, got "a cat and a dog"'],
    ...[0, 65, -1, 1.5, "2", true, [1]].map((n) =>
      [{ n }, "n", `${whole(1, 64)}, got ${JSON.stringify(n)}`] as [Record<string, unknown>, string, string]
    ),
    [{ size: "33x33" }, "size", `one of auto, ${sizes}, got "33x33"`],
    [{ size: "1024x1024" }, "size", `one of auto, ${sizes}`],
    [{ size: "64x32" }, "size", `one of auto, ${sizes}`],
    [{ size: 32 }, "size", `one of auto, ${sizes}, got 32`],
    [{ size: "" }, "size", `one of auto, ${sizes}, got ""`],
    [{ response_format: "xml" }, "response_format", 'one of b64_json, url, got "xml"'],
    [{ output_format: "gif" }, "output_format", 'one of png, jpeg, webp, got "gif"'],
    [{ stream: "yes" }, "stream", 'true or false, got "yes"'],
    [{ stream: true, partial_images: 4 }, "partial_images", `${whole(0, 3)}, got 4`],
    [{ partial_images: 1 }, "partial_images", "0 unless stream is true, got 1"],
    [{ queue_events: true }, "queue_events", "false unless stream is true, got true"],
    [{ stream: true, queue_events: 1 }, "queue_events", "true or false, got 1"],
    [{ stream: true, response_format: "url" }, "response_format", "b64_json in a stream"],
    [{ seed: -1 }, "seed", "a whole number from 0 to"],
    [{ seed: 2 ** 53 }, "seed", "a whole number from 0 to"],
    [{ seed: "7" }, "seed", "a whole number from 0 to"],
    [{ steps: 0 }, "steps", `${whole(1, 1000)}, got 0`],
    [{ steps: 1001, sampler: "ddim" }, "steps", `${whole(1, 1000)}, got 1001`],
    [{ sampler: "eulr" }, "sampler", `one of ${samplerNames.join(", ")} (did you mean euler?), got "eulr"`],
    [{ guidance: -0.5 }, "guidance", "a number from 0 to 100, got -0.5"],
    [{ guidance: "2" }, "guidance", 'a number from 0 to 100, got "2"'],
    [{ user: 5 }, "user", "a text of 0 to 1000 characters, got 5"],
  ];
  const unknown: readonly (readonly [fields: object, param: string, expected: string])[] = [
    [{ frame_count: 3 }, "frame_count", "unknown parameter; expected one of prompt, model, n, size"],
    [{ setps: 3 }, "setps", "unknown parameter (did you mean steps?); expected one of prompt, model"],
    [{ toString: 1 }, "toString", "unknown parameter"],
  ];
  await serving({}, async ({ client, engine }) => {
    const all = [
      ...cases.map(([fields, param, expected]) => [fields, param, `expected ${expected}`] as const),
      ...unknown,
    ];
    for (const [fields, param, told] of all) {
      const body = { prompt: "a cat", ...fields };
      const error = await failure(BadRequestError, client.post("/images/generations", { body }));
      assert.equal(error.param, param, JSON.stringify(fields));
      assert.ok(error.message.startsWith(`400 ${param}: ${told}`), error.message);
      assert.deepEqual([error.type, error.code], ["invalid_request_error", "invalid_parameter"]);
      assert.ok(error.message.length < 700, "an answer does not grow with what was sent");
    }
    assert.equal(engine.added.length, 0);
  });
});

Deno.test("openai: parameters in the query, which would change nothing, are refused; a version of the API is not", async () => {
  await serving({}, async ({ client, engine }) => {
    const cases: [query: Record<string, string>, param: string, told: string][] = [
      [{ steps: "3" }, "steps", 'steps: expected in the body, not in the query, got "3"'],
      [
        { setps: "3" },
        "setps",
        "setps: unknown parameter (did you mean steps?); expected in the body, one of ",
      ],
      [
        { "api-versoin": "1" },
        "api-versoin",
        "api-versoin: unknown parameter; expected in the body, one of ",
      ],
    ];
    for (const path of ["/images/generations", "/images/edits"]) {
      for (const [query, param, told] of cases) {
        const call = client.post(path, { query, body: { prompt: "a cat" } });
        const error = await failure(BadRequestError, call);
        assert.ok(error.message.startsWith(`400 ${told}`), `${path}: ${error.message}`);
        assert.equal(error.param, param);
      }
    }
    assert.equal(engine.added.length, 0);
    const query = { "api-version": "2025-04-01" };
    await client.post("/images/generations", { query, body: { prompt: "a cat" } });
    assert.equal(engine.added.length, 1);
  });
});

Deno.test("openai: every wrong field is told once, the first of them as param", async () => {
  await serving({}, async ({ client }) => {
    const body = { prompt: "", n: 0.5, colour: "red" };
    const { message, param } = await failure(BadRequestError, client.post("/images/generations", { body }));
    const faults = ["prompt: expected", "n: expected", "colour: unknown parameter"];
    const told = faults.map((fault) => message.split(fault).length - 1);
    assert.deepEqual(told, [1, 1, 1], message);
    assert.equal(param, "prompt");
  });
});

Deno.test("openai: an answer does not grow with what is unknown", async () => {
  await serving({}, async ({ client }) => {
    const body = {
      prompt: "a cat",
      ...Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`m${i}`, i])),
    };
    const { message } = await failure(BadRequestError, client.post("/images/generations", { body }));
    assert.match(message, /m9: unknown parameter.*; and 4990 more$/);
    assert.ok(message.length < 1500, String(message.length));
    const model = "x".repeat(1000);
    const other = await failure(NotFoundError, client.images.generate({ prompt: "a cat", model }));
    assert.ok(other.message.length < 300, other.message);
  });
});

Deno.test("openai: a body that is no JSON object, too large or of another type is refused in OpenAI's shape", async () => {
  await serving({}, async ({ origin, engine }) => {
    const json = { "Content-Type": "application/json" };
    const cases: [string, BodyInit, Record<string, string>, number, string][] = [
      ["cut short", '{"prompt": "a cat"', json, 400, "invalid_json"],
      ["empty", "", json, 400, "invalid_json"],
      ["null", "null", json, 400, "invalid_json"],
      ["an array", '[{"prompt": "a cat"}]', json, 400, "invalid_json"],
      ["a text", '"a cat"', json, 400, "invalid_json"],
      ["not UTF-8", Uint8Array.of(0x22, 0xff, 0x22), json, 400, "invalid_json"],
      ["deep", `{"prompt": ${"[".repeat(20_000)}${"]".repeat(20_000)}}`, json, 400, "invalid_json"],
      ["infinite", '{"prompt": "a cat", "seed": 1e999}', json, 400, "invalid_parameter"],
      ["a prototype", '{"prompt": "a cat", "__proto__": {"n": 5}}', json, 400, "invalid_parameter"],
      ["too large", `{"prompt": "${"cat ".repeat(20_000)}"}`, json, 413, "body_too_large"],
      [
        "a form",
        "prompt=a+cat",
        { "Content-Type": "application/x-www-form-urlencoded" },
        415,
        "unsupported_media_type",
      ],
      ["no type", new TextEncoder().encode('{"prompt": "a cat"}'), {}, 415, "unsupported_media_type"],
    ];
    for (const [what, body, headers, status, code] of cases) {
      const response = await fetch(`${origin}/v1/images/generations`, { method: "POST", body, headers });
      assert.equal(response.status, status, what);
      assert.equal(response.headers.get("Content-Type"), "application/json");
      const { error } = await response.json();
      assert.deepEqual([error.type, error.code], ["invalid_request_error", code], what);
      assert.ok(error.message.length > 0);
      assert.deepEqual(Object.keys(error).sort(), ["code", "message", "param", "type"]);
    }
    assert.equal(engine.added.length, 0);
  });
});

Deno.test("openai: another method or path", async () => {
  await serving({}, async ({ client }) => {
    const { status, code, headers } = await failure<APIError>(APIError, client.get("/images/generations"));
    assert.deepEqual([status, code], [405, "method_not_allowed"]);
    assert.equal(headers?.get("Allow"), "OPTIONS, POST");
    const path = await failure(NotFoundError, client.post("/images/variations", { body: {} }));
    assert.equal(path.code, "not_found");
  });
});

Deno.test("openai: the API key is the server's token", async () => {
  await serving({ token: "secret-token" }, async ({ client, origin }) => {
    const { code, type, message } = await failure(
      AuthenticationError,
      clientOf(origin, "a-guess").images.generate({ prompt: "a cat" }),
    );
    assert.deepEqual([code, type], ["invalid_api_key", "invalid_request_error"]);
    assert.ok(!message.includes("a-guess") && !message.includes("secret-token"));
    assert.equal((await client.images.generate({ prompt: "a cat" })).data?.length, 1);
    const { data } = await client.images.generate({ prompt: "a cat", response_format: "url" });
    await bytesAt(data![0].url!, { headers: { Authorization: "Bearer secret-token" } });
  });
});

/** The server's error that a call ends with; where it says to come back, that is a whole number of seconds. */
async function serverError(call: PromiseLike<unknown>): Promise<unknown[]> {
  const { status, code, type, headers } = await failure(InternalServerError, call);
  const retryAfter = headers?.get("Retry-After");
  return [
    status,
    code,
    type,
    retryAfter === null ? "" : /^[1-9]\d*$/.test(retryAfter ?? "") ? "later" : retryAfter,
  ];
}

Deno.test("openai: a full queue and an engine that is down say when to come back", async () => {
  const settings = { queue: 0 };
  await serving({ engine: { ...byHand, rows: 2 }, settings }, async ({ client, engine }) => {
    const lost = serverError(client.images.generate({ prompt: "a cat" }));
    await until("the image in the batch", () => engine.batch.length === 1);
    for (const stream of [false, true]) {
      assert.deepEqual(
        await serverError(client.images.generate({ prompt: "a cat", stream })),
        [503, "queue_full", "server_error", "later"],
      );
    }
    engine.down();
    const down = [503, "engine_down", "server_error", "later"];
    assert.deepEqual(await lost, down);
    assert.deepEqual(await serverError(client.images.generate({ prompt: "a cat" })), down);
    assert.deepEqual(await serverError(client.models.list()), down);
  });
});

Deno.test("openai: a request that is not met in time ends with 504", async () => {
  await serving(
    { engine: { ...byHand, model: { stepSeconds: 0.001 } }, settings: { timeout: 0.02 } },
    async ({ client }) => {
      const late = await serverError(client.images.generate({ prompt: "a cat" }));
      assert.deepEqual(late, [504, "timeout", "server_error", ""]);
    },
  );
});
