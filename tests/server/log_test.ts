import assert from "node:assert/strict";
import { JsonLog } from "../../server/log.ts";
import { LogWriter } from "../../server/log_writer.ts";

Deno.test("a line is JSON with time, level, message and fields; an error's has its stack, and those of its causes", () => {
  const lines: string[] = [];
  const log = new JsonLog((line) => lines.push(line), () => new Date(0));
  log.info("ready", { url: "http://x", id: undefined });
  const cause = new Error("inner", { cause: "a word" });
  log.error("failed", { status: 500 }, new Error("outer", { cause }));
  assert.equal(
    lines[0],
    '{"time":"1970-01-01T00:00:00.000Z","level":"info","message":"ready","url":"http://x"}',
  );
  const { level, error } = JSON.parse(lines[1]);
  assert.equal(level, "error");
  assert.match(error, /^Error: outer\n[^]*log_test[^]*caused by Error: inner\n[^]*caused by a word$/);
});

Deno.test("a line has no character that a terminal obeys, and is the same JSON", () => {
  const lines: string[] = [];
  const log = new JsonLog((line) => lines.push(line));
  const model = "\x1b]0;title\x07 \x7f \x9b31m \u2028 \u202e \ud800 ä";
  log.info("ready", { model });
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(lines[0], /[\u0000-\u001f\u007f-\u009f\u2028\u202e]|\p{Surrogate}/u);
  assert.equal(JSON.parse(lines[0]).model, model);
});

/** Takes some bytes at a time, and none while it is stalled. */
class Sink {
  text = "";
  writes = 0;
  fault: Error | undefined;
  #stall: PromiseWithResolvers<void> | undefined;

  stall(): void {
    this.#stall = Promise.withResolvers();
  }

  goOn(): void {
    this.#stall?.resolve();
    this.#stall = undefined;
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.writes++;
    await this.#stall?.promise;
    if (this.fault) throw this.fault;
    const taken = bytes.subarray(0, 5);
    this.text += new TextDecoder().decode(taken);
    return taken.length;
  }
}

const dropped = (lines: number) => `${lines} dropped`;

Deno.test("lines are written whole and in order, however few bytes are taken at a time", async () => {
  const sink = new Sink();
  const writer = new LogWriter(sink, dropped);
  writer.write("the first line");
  writer.write("the second line");
  await writer.flush();
  writer.write("the third");
  await writer.flush();
  assert.equal(sink.text, "the first line\nthe second line\nthe third\n");
});

Deno.test("while the reader stalls, so many lines wait and the others are dropped, and it is told how many", async () => {
  const sink = new Sink();
  const writer = new LogWriter(sink, dropped, 3);
  sink.stall();
  for (let i = 0; i < 10; i++) writer.write(`line ${i}`);
  const flushed = writer.flush();
  sink.goOn();
  await flushed;
  writer.write("after");
  await writer.flush();
  assert.equal(sink.text, "line 0\nline 1\nline 2\nline 3\n6 dropped\nafter\n");
});

Deno.test("a reader that has gone ends nothing", async () => {
  const sink = new Sink();
  const writer = new LogWriter(sink, dropped);
  sink.fault = new Error("broken pipe");
  writer.write("lost");
  await writer.flush();
  sink.fault = undefined;
  writer.write("heard");
  await writer.flush();
  assert.equal(sink.text, "heard\n");
});
