import assert from "node:assert/strict";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { overSocket, talk } from "../../support/server/raw.ts";
import { until } from "../../support/until.ts";

const END = "HTTP/1.1\r\nHost: localhost\r\n";

/** Sends text a character at a time, and goes on until the connection is closed. */
async function trickle(connection: Deno.Conn, text: string): Promise<void> {
  try {
    for (const character of text) {
      await connection.write(new TextEncoder().encode(character));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  } catch {
    // it was closed
  }
}

Deno.test("100 connections that are slow, silent or half closed keep nobody from an answer", async () => {
  await overSocket({}, async ({ engine, context, log }, port) => {
    const kinds: ((connection: Deno.TcpConn) => Promise<void>)[] = [
      () => Promise.resolve(), // says nothing
      (connection) => connection.closeWrite(),
      (connection) => trickle(connection, `GET /classes ${END}X: ${"x".repeat(300)}`),
      (connection) =>
        trickle(
          connection,
          `POST /v1/images/generations ${END}Content-Type: application/json\r\nContent-Length: 9999\r\n\r\n` +
            " ".repeat(300),
        ),
      (connection) => trickle(connection, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`),
    ];
    const open = await Promise.all(Array.from({ length: 100 }, () => Deno.connect({ port })));
    const slow = Promise.all(open.map((connection, i) => kinds[i % kinds.length](connection)));
    try {
      for (let i = 0; i < 20; i++) {
        const answer = await talk(port, `GET /generate?steps=2&seed=${i} ${END}Connection: close\r\n\r\n`);
        assert.match(answer, /^HTTP\/1\.1 200 /);
      }
    } finally {
      for (const connection of open) connection.close();
      await slow;
    }
    assert.equal(engine.added.length, 20);
    assert.equal(context.runner.state.running, 0);
    assert.deepEqual(log.filter(({ level }) => level !== "info"), []);
  });
});

Deno.test("a storm of 200 that leave, before and after they are heard, leaves nothing behind", async () => {
  const clock = new FakeClock(); // the streams'
  await overSocket({ clock }, async ({ engine, context: { runner }, log }, port) => {
    const requests = [
      `GET /generate?sampler=ddim&steps=1000&count=4 ${END}\r\n`,
      `GET /generate/stream?sampler=ddim&steps=1000 ${END}\r\n`,
      `POST /v1/images/generations ${END}Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{"prompt":"cat"}`,
      `GET /generate?steps=1000 ${END}`, // no end of headers
    ];
    await Promise.all(Array.from({ length: 200 }, async (_, i) => {
      using connection = await Deno.connect({ port });
      await connection.write(new TextEncoder().encode(requests[i % requests.length]));
      for (let turn = i % 7; turn > 0; turn--) await new Promise((resolve) => setTimeout(resolve));
    }));
    const over = () => runner.state.running + runner.state.waiting + engine.batch.length === 0;
    await until("all requests over", over);
    const last = await talk(port, `GET /generate?steps=1 ${END}Connection: close\r\n\r\n`);
    assert.match(last, /^HTTP\/1\.1 200 /);
    await until("all requests over", over);
    assert.equal(clock.pending, 0, "nothing waits for readers who have gone");
    assert.deepEqual(log.filter(({ level, status }) => level === "error" || status === 500), []);
  });
});
