import assert from "node:assert/strict";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { problemOf } from "../../support/server/harness.ts";
import { closeJobs, hasEnded, type JobHarness, openJobs, withJobs } from "../../support/server/jobs.ts";
import { startReceiver, verify } from "../../support/server/receiver.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const ok = () => new Response(null, { status: 204 });

/** Waits until the number of attempts is recorded. */
async function attempts({ until }: JobHarness, id: string, count: number) {
  return (await until(id, ({ webhook }) => webhook!.attempts.length === count)).webhook!;
}

Deno.test("the end of a job is told once, with a signature that the reference library accepts", async () => {
  await using receiver = startReceiver(ok);
  await withJobs({ settings: { webhookHosts: [receiver.host] } }, async (opened) => {
    const { accepted, status, ask } = opened;
    const job = await accepted({
      count: 3,
      seed: 1,
      steps: 2,
      webhook: { url: receiver.url, secret: SECRET },
    });
    assert.equal(job.webhook!.secret, undefined, "the client knows it");
    await receiver.until(1);
    const webhook = await attempts(opened, job.id, 1);
    assert.deepEqual([webhook.status, webhook.attempts[0]!.status], ["delivered", 204]);
    const [request] = receiver.received;
    const message = verify(request!, SECRET);
    const { webhook: _, ...described } = await status(job.id);
    assert.deepEqual(message, { type: "job.done", timestamp: described.ended, data: described });
    assert.equal(request!.headers["webhook-id"], `msg_${job.id}`);
    assert.equal(request!.headers["content-type"], "application/json");
    assert.ok(!JSON.stringify([await status(job.id), request]).includes(SECRET));
    assert.throws(() => verify(request!, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert.throws(() => verify({ ...request!, body: request!.body.replace("done", "gone") }, SECRET));
    assert.match(
      await (await ask("/metrics")).text(),
      /^denoise_webhook_attempts_total\{outcome="delivered"\} 1$/m,
    );
  });
});

Deno.test("without a secret the server makes one, and tells it once", async () => {
  await using receiver = startReceiver(ok);
  await withJobs({ settings: { webhookHosts: [receiver.host] } }, async ({ accepted, post, status }) => {
    const key = { "Idempotency-Key": "k" };
    const body = { steps: 1, webhook: { url: receiver.url } };
    const { id, webhook } = await accepted(body, key);
    assert.match(webhook!.secret!, /^whsec_/);
    await receiver.until(1);
    verify(receiver.received[0]!, webhook!.secret!);
    assert.equal((await (await post(body, key)).json()).webhook.secret, undefined);
    assert.equal((await status(id)).webhook!.secret, undefined);
  });
});

Deno.test("failed and cancelled jobs are told, too", async () => {
  await using receiver = startReceiver(ok);
  const options = { settings: { webhookHosts: [receiver.host] }, engine: { automatic: undefined } };
  await withJobs(options, async ({ accepted, ask }) => {
    const { id } = await accepted({ count: 5, webhook: { url: receiver.url, secret: SECRET } });
    await ask(`/jobs/${id}`, { method: "DELETE" });
    await receiver.until(1);
    assert.equal(verify(receiver.received[0]!, SECRET).type, "job.cancelled");
  });
});

Deno.test("what is not accepted is sent again later and later, the same message each time, with Retry-After heeded", async () => {
  const answers = [500, 302, 404, 429, 204];
  await using receiver = startReceiver((number) =>
    new Response("x".repeat(100_000), {
      status: answers[number] === 204 ? 200 : answers[number]!,
      headers: { "Location": "/elsewhere", ...(answers[number] === 429 ? { "Retry-After": "1000" } : {}) },
    })
  );
  const clock = new FakeClock();
  const time = Date.now();
  const options = {
    settings: { webhookHosts: [receiver.host] },
    schedulerClock: clock,
    now: () => time,
  };
  await withJobs(options, async (opened) => {
    const { id } = await opened.accepted({ steps: 1, webhook: { url: receiver.url, secret: SECRET } });
    await opened.until(id, hasEnded);
    clock.advance(0);
    for (const [i, seconds] of [5, 20, 80, 1000].entries()) {
      const { status, next } = await attempts(opened, id, i + 1);
      assert.equal(status, "pending");
      const wait = (Date.parse(next!) - time) / 1000;
      const [least, most] = seconds === 1000 ? [1000, 1000] : [0.75 * seconds, 1.25 * seconds];
      assert.ok(wait >= least && wait <= most, `attempt ${i + 2} after ${wait} s`);
      clock.advance(1000 * wait - 10);
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(receiver.received.length, i + 1, "not before it is due");
      clock.advance(20);
    }
    const webhook = await attempts(opened, id, 5);
    assert.equal(webhook.status, "delivered");
    assert.deepEqual(webhook.attempts.map(({ status }) => status), [500, 302, 404, 429, 200]);
    assert.equal(receiver.received.length, 5, "redirects are not followed");
    for (const { body, headers } of receiver.received) {
      assert.equal(body, receiver.received[0]!.body);
      assert.equal(headers["webhook-id"], `msg_${id}`);
      verify({ body, headers }, SECRET);
    }
  });
});

Deno.test("after nine attempts, or at 410, it is given up", async () => {
  await using receiver = startReceiver((number) => new Response(null, { status: number === 0 ? 410 : 503 }));
  const clock = new FakeClock();
  const time = Date.now();
  const options = { settings: { webhookHosts: [receiver.host] }, schedulerClock: clock, now: () => time };
  await withJobs(options, async (opened) => {
    const gone = await opened.accepted({ steps: 1, webhook: { url: receiver.url } });
    await opened.until(gone.id, hasEnded);
    clock.advance(0);
    assert.equal((await attempts(opened, gone.id, 1)).status, "failed");
    const { id } = await opened.accepted({ steps: 1, webhook: { url: receiver.url } });
    await opened.until(id, hasEnded);
    clock.advance(0);
    for (let count = 1; count < 9; count++) {
      const { status, next } = await attempts(opened, id, count);
      assert.equal(status, "pending");
      clock.advance(Date.parse(next!) - time);
    }
    const webhook = await attempts(opened, id, 9);
    assert.deepEqual([webhook.status, webhook.next], ["failed", undefined]);
    clock.advance(100_000_000);
    assert.equal(receiver.received.length, 10);
  });
});

Deno.test("attempts go on in the next process, at the time that was set", async () => {
  await using receiver = startReceiver((number) => new Response(null, { status: number === 0 ? 500 : 200 }));
  await inTemporaryDirectory(async (directory) => {
    const settings = { webhookHosts: [receiver.host] };
    let time = Date.now();
    const first = openJobs(directory, { settings, now: () => time });
    const { id } = await first.accepted({ steps: 1, webhook: { url: receiver.url, secret: SECRET } });
    const { next } = await attempts(first, id, 1);
    await closeJobs(first);
    time = Date.parse(next!) - 20_000;
    const clock = new FakeClock();
    const second = openJobs(directory, { settings, now: () => time, schedulerClock: clock });
    clock.advance(19_990);
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(receiver.received.length, 1);
    clock.advance(20);
    assert.equal((await attempts(second, id, 2)).status, "delivered");
    assert.equal(receiver.received[1]!.body, receiver.received[0]!.body);
    await closeJobs(second);
  });
});

Deno.test("a job that ended before its message was sent has it sent by the next process", async () => {
  await using receiver = startReceiver(ok);
  await inTemporaryDirectory(async (directory) => {
    const settings = { webhookHosts: [receiver.host] };
    const first = openJobs(directory, { settings, schedulerClock: new FakeClock() }); // its timers never fire
    const { id } = await first.accepted({ steps: 1, webhook: { url: receiver.url, secret: SECRET } });
    await first.until(id, hasEnded);
    await closeJobs(first);
    assert.equal(receiver.received.length, 0);
    const second = openJobs(directory, { settings });
    await receiver.until(1);
    assert.equal((await attempts(second, id, 1)).status, "delivered");
    await closeJobs(second);
  });
});

Deno.test("a receiver that does not answer, answers no HTTP or endlessly costs an attempt, not the server", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${listener.addr.port}`;
  const clock = new FakeClock();
  const settings = { webhookHosts: [address, "127.0.0.1:1"] };
  const answers = [
    "SSH-2.0-OpenSSH\r\n\r\n",
    "HTTP/1.1 200 OK\r\n" + "x: y\r\n".repeat(10_000),
    "",
    undefined,
  ];
  const errors = [
    /not HTTP/,
    /more than 16384 bytes/,
    /closed without an answer/,
    /no answer within 15 seconds/,
  ];
  await withJobs({ settings, schedulerClock: clock }, async (opened) => {
    for (const [i, answer] of answers.entries()) {
      const { id } = await opened.accepted({ steps: 1, seed: i, webhook: { url: `http://${address}/` } });
      await opened.until(id, hasEnded);
      clock.advance(0);
      const connection = await listener.accept();
      await connection.read(new Uint8Array(4096));
      if (answer === undefined) clock.advance(15_000);
      else {
        await connection.write(new TextEncoder().encode(answer)).catch(() => {}); // it may not be read to its end
        if (answer === "") connection.close();
      }
      const { attempts: [attempt] } = await attempts(opened, id, 1);
      assert.match(attempt!.error!, errors[i]!);
      if (answer !== "") connection.close();
    }
    const { id } = await opened.accepted({ steps: 1, webhook: { url: "http://127.0.0.1:1/" } });
    await opened.until(id, hasEnded);
    clock.advance(0);
    assert.match((await attempts(opened, id, 1)).attempts[0]!.error!, /refused/i);
  });
  listener.close();
});

Deno.test("a name that leads to a private address is not sent anything, unless the address is listed", async () => {
  await using receiver = startReceiver(ok);
  const { port } = new URL(receiver.url);
  const url = `http://localhost:${port}/`;
  await withJobs({ settings: { webhookHosts: [`localhost:${port}`] } }, async (opened) => {
    const { id } = await opened.accepted({ steps: 1, webhook: { url } });
    const { attempts: [attempt] } = await attempts(opened, id, 1);
    assert.match(attempt!.error!, /private address/);
    assert.equal(receiver.received.length, 0);
  });
  await withJobs({ settings: { webhookHosts: [`localhost:${port}`, "127.0.0.1:1"] } }, async (opened) => {
    await opened.accepted({ steps: 1, webhook: { url } });
    await receiver.until(1);
  });
});

Deno.test("URLs of other hosts, ports, protocols and forms are refused, with those that are allowed", async () => {
  const settings = { webhookHosts: ["hooks.example.org:443", "10.0.0.5:9000", "[fd00::1]:8443"] };
  await withJobs({ settings, engine: { automatic: undefined } }, async ({ post }) => {
    for (
      const url of [
        "https://example.org/",
        "http://hooks.example.org/",
        "https://hooks.example.org:444/",
        "https://hooks.example.org./",
        "https://a.hooks.example.org/",
        "https://hooks.example.org@evil.example/",
        "https://user:pass@hooks.example.org/",
        "https://hooks.example.org/#x",
        "ftp://hooks.example.org:443/",
        "file:///etc/passwd",
        "http://127.0.0.1:9000/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0x0a000006:9000/",
        "http://[::ffff:10.0.0.6]:9000/",
        "//hooks.example.org/",
        "hooks.example.org",
        "https://hooks.example.org/" + "x".repeat(2048),
        "",
      ]
    ) {
      const { status, detail } = await problemOf(await post({ webhook: { url } }));
      assert.equal(status, 400, url);
      assert.match(detail, /webhook\.url: expected/, url);
    }
    const { detail } = await problemOf(await post({ webhook: { url: "https://example.org/" } }));
    assert.match(
      detail,
      /an http or https URL on hooks\.example\.org:443, 10\.0\.0\.5:9000, \[fd00::1\]:8443/,
    );
    for (const url of ["https://HOOKS.example.org/a?b", "http://10.0.0.5:9000/", "https://[FD00::1]:8443/"]) {
      const answer = await post({ webhook: { url, secret: SECRET } });
      assert.equal(answer.status, 202, url);
    }
    for (
      const webhook of [
        {},
        { url: 3 },
        { url: "https://hooks.example.org/", token: 1 },
        "https://hooks.example.org/",
      ]
    ) {
      assert.equal((await post({ webhook })).status, 400);
    }
    for (const secret of ["password", "whsec_", "whsec_AAAA", `whsec_${"A".repeat(200)}`, "whsec_!!!"]) {
      const { detail } = await problemOf(
        await post({ webhook: { url: "https://hooks.example.org/", secret } }),
      );
      assert.match(detail, /webhook\.secret: expected whsec_ and 24 to 64 bytes in base64/);
    }
  });
  await withJobs({}, async ({ post }) => {
    const { detail } = await problemOf(await post({ webhook: { url: "https://example.org/" } }));
    assert.match(detail, /this server was started without --webhook-hosts/);
  });
});

Deno.test("line breaks in a URL cannot become headers", async () => {
  await using receiver = startReceiver(ok);
  await withJobs({ settings: { webhookHosts: [receiver.host] } }, async ({ accepted }) => {
    await accepted({ steps: 1, webhook: { url: `http://${receiver.host}/a\r\nX-Evil: 1?b\u00e9 c` } });
    await receiver.until(1);
    assert.equal(receiver.received[0]!.headers["x-evil"], undefined);
  });
});
