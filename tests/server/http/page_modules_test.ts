/** Modules of the page that need no browser. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { readEvents } from "../../../server/page/events.js";
import { layOut } from "../../../server/page/layout.js";
import { curlLine, duration, troubleText } from "../../../server/page/words.js";

/** The events of a text that arrives in pieces which end at `cuts`. */
async function eventsOf(
  text: string,
  cuts: readonly number[] = [],
): Promise<{ event: string; data: string }[]> {
  const bytes = new TextEncoder().encode(text);
  const ends = [...new Set(cuts.map((cut) => cut % bytes.length))].sort((a, b) => a - b);
  const pieces = [0, ...ends].map((start, i) => bytes.slice(start, ends[i] ?? bytes.length));
  return await Array.fromAsync(readEvents(ReadableStream.from(pieces)));
}

Deno.test("events are read however they arrive", async () => {
  const text =
    'event: queued\ndata: {"position":2}\n\n: still here\n\nevent:image\r\ndata: ä\r\ndata:  ö\r\n\r\n' +
    "id: 7\nretry\ndata\n\nevent: lost\ndata: no empty line ends it\n";
  const expected = [
    { event: "queued", data: '{"position":2}' },
    { event: "image", data: "ä\n ö" },
    { event: "message", data: "" },
  ];
  assert.deepEqual(await eventsOf(text), expected);
  await fc.assert(fc.asyncProperty(fc.array(fc.nat({ max: 1000 }), { maxLength: 12 }), async (cuts) => {
    assert.deepEqual(await eventsOf(text, cuts), expected);
  }));
});

Deno.test("a reader that stops ends the stream", async () => {
  const stopped = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
    cancel: () => stopped.resolve(),
  });
  for await (const { data } of readEvents(body)) {
    assert.equal(data, "1");
    break;
  }
  await stopped.promise;
});

Deno.test("pictures fill the room there is, in whole screen pixels", () => {
  assert.deepEqual(layOut(8, 288, 32, 96, true, 1), { columns: 8, side: 32 });
  assert.deepEqual(layOut(64, 288, 32, 128, false, 1), { columns: 8, side: 32 });
  assert.deepEqual(layOut(1, 288, 32, 320, false, 2), { columns: 1, side: 288 });
  assert.deepEqual(layOut(4, 768, 32, 224, false, 1), { columns: 2, side: 224 });
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: 280, max: 2000 }),
    fc.integer({ min: 8, max: 256 }),
    fc.boolean(),
    fc.constantFrom(1, 1.25, 1.5, 2, 3),
    (count, room, pixels, oneRow, ratio) => {
      const { columns, side } = layOut(count, room, pixels, 320, oneRow, ratio);
      assert.ok(columns >= 1 && columns <= count);
      assert.ok(columns * side + (columns - 1) * 4 <= room + 1e-9, "wider than the room");
      const scale = side * ratio / pixels;
      assert.ok(scale > 0.99 && Math.abs(scale - Math.round(scale)) < 1e-9, `scale ${scale}`);
    },
  ));
});

Deno.test("words", () => {
  assert.equal(duration(1240), "1.2 s");
  assert.equal(duration(61_400), "61 s");
  assert.equal(
    troubleText({ message: "the queue is full", retryAfter: 1 }),
    "The queue is full. The server asks to wait 1 second.",
  );
  assert.equal(troubleText({ message: "Is it still running?" }), "Is it still running?");
  assert.equal(
    curlLine("http://localhost/generate?class=it's", "it-s-1.png", true),
    `curl -H "Authorization: Bearer $TOKEN" -fo it-s-1.png 'http://localhost/generate?class=it%27s'`,
  );
});
