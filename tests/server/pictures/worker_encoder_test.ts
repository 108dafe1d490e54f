import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import type { PictureJob } from "../../../server/pictures/encoder.ts";
import { encodeFile } from "../../../server/pictures/encoding.ts";
import type { Asker, PictureAnswer } from "../../../server/pictures/picture_worker.ts";
import { WorkerEncoder } from "../../../server/pictures/worker_encoder.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { pictureJob } from "../../support/server/picture_jobs.ts";

/** A client that stays, and has time. */
function asker(client = "a", changes: Partial<Asker> = {}): Asker {
  return { client, signal: new AbortController().signal, seconds: 1000, ...changes };
}

Deno.test("the worker gives the bytes that this thread would", async () => {
  const encoder = new WorkerEncoder();
  try {
    const formats = ["png", "jpeg", "webp", "gif"] as const;
    const files = await encoder.encode(formats.map((format) => pictureJob(format)), asker());
    for (const [i, format] of formats.entries()) {
      assert.deepEqual(files[i], await encodeFile(pictureJob(format)), format);
    }
    await assert.rejects(encoder.encode([pictureJob("png", { scale: 99 })], asker()), /scale: expected/);
    assert.ok((await encoder.encode([pictureJob("png")], asker()))[0].length > 0);
  } finally {
    encoder.close();
  }
});

/** Stands in for the worker: answers, ends or stays silent as a test says. */
class FakeWorker extends EventTarget {
  static started: FakeWorker[] = [];
  onmessage: ((event: MessageEvent<PictureAnswer<Uint8Array<ArrayBuffer>>>) => void) | null = null;
  onerror: ((event: ErrorEvent) => void) | null = null;
  readonly jobs: PictureJob[] = [];
  terminated = false;

  constructor() {
    super();
    FakeWorker.started.push(this);
  }

  postMessage(job: PictureJob): void {
    this.jobs.push(job);
  }

  terminate(): void {
    this.terminated = true;
  }

  answer(value: number): void {
    const data = { result: Uint8Array.of(value) };
    this.onmessage!(new MessageEvent("message", { data }));
  }

  crash(): void {
    const event = new ErrorEvent("error", { message: "out of memory", cancelable: true });
    this.onerror!(event);
    assert.ok(event.defaultPrevented);
  }
}

/** An encoder on fake workers, and those that it has started. */
function faked(
  options: { waiting?: number } = {},
): { encoder: WorkerEncoder; workers: FakeWorker[]; clock: FakeClock } {
  const workers = FakeWorker.started = [];
  const clock = new FakeClock();
  const start = () => new FakeWorker() as unknown as Worker;
  return { encoder: new WorkerEncoder({ ...options, clock, start }), workers, clock };
}

/** Asks for one picture, which its scale names. */
async function one(encoder: WorkerEncoder, scale = 1, by = asker()): Promise<number> {
  const [[value]] = await encoder.encode([pictureJob("png", { scale })], by);
  return value;
}

const scales = ({ jobs }: FakeWorker) => jobs.map(({ scale }) => scale);

Deno.test("pictures go to the worker one at a time, in order", async () => {
  const { encoder, workers: [worker], clock } = faked();
  const files = encoder.encode([1, 2, 3].map((scale) => pictureJob("png", { scale })), asker());
  for (let i = 0; i < 3; i++) {
    assert.equal(worker.jobs.length, i + 1);
    worker.answer(i);
  }
  assert.deepEqual((await files).map(([value]) => value), [0, 1, 2]);
  assert.deepEqual(scales(worker), [1, 2, 3]);
  assert.equal(clock.pending, 0);
});

Deno.test("clients share the encoder by pixels: a small picture is not behind another client's large ones", async () => {
  const { encoder, workers: [worker] } = faked();
  const grids = Array.from({ length: 6 }, () => one(encoder, 100, asker("grids")));
  const small = encoder.encode([1, 2, 3].map((scale) => pictureJob("png", { scale })), asker("small"));
  const others = [one(encoder, 90, asker("b")), one(encoder, 90, asker("b"))];
  for (let i = 0; i < 11; i++) worker.answer(i);
  await Promise.all([...grids, small, ...others]);
  assert.deepEqual(scales(worker), [100, 1, 2, 3, 90, 90, 100, 100, 100, 100, 100]);
});

Deno.test("clients with pictures of one size take turns; one client's equal requests are finished one by one", async () => {
  const { encoder, workers: [worker] } = faked();
  const many = (client: string) => encoder.encode([0, 1, 2].map(() => pictureJob("png")), asker(client));
  const ended: string[] = [];
  const all = ["a", "a", "b", "c"].map((client, i) => many(client).then(() => ended.push(`${client}${i}`)));
  for (let i = 0; i < 12; i++) {
    worker.answer(i);
    await Promise.resolve();
  }
  await Promise.all(all);
  assert.deepEqual(ended, ["a0", "b2", "c3", "a1"]);
});

Deno.test("a client's own small picture passes its large ones that wait, however many have been encoded", async () => {
  const { encoder, workers: [worker] } = faked();
  const all = Array.from({ length: 6 }, () => one(encoder, 100));
  worker.answer(0);
  worker.answer(0);
  all.push(one(encoder, 5));
  for (let i = 0; i < 5; i++) worker.answer(i);
  await Promise.all(all);
  assert.deepEqual(scales(worker), [100, 100, 100, 5, 100, 100, 100]);
});

for (const client of ["its own", "new ones"]) {
  Deno.test(`a stream of small pictures of ${client} passes a large one for as many pixels as that has`, async () => {
    const { encoder, workers: [worker] } = faked();
    const all = [one(encoder, 10, asker("a")), one(encoder, 10, asker("a"))];
    for (let i = 0; i < 30; i++) {
      all.push(one(encoder, 5, asker(client === "its own" ? "a" : `new ${i}`)));
      worker.answer(i);
    }
    worker.answer(30);
    worker.answer(31);
    await Promise.all(all);
    const order = scales(worker);
    assert.deepEqual([order[0], order.indexOf(10, 1)], [10, client === "its own" ? 4 : 8], `${order}`);
  });
}

Deno.test("nothing is encoded for a client that has gone; the picture under way gets a second, then its worker ends", async () => {
  const { encoder, workers, clock } = faked();
  const [here, gone] = [new AbortController(), new AbortController()];
  const under = one(encoder, 1, asker("a", { signal: gone.signal }));
  const waits = one(encoder, 2, asker("a", { signal: gone.signal }));
  const next = one(encoder, 3, asker("b", { signal: here.signal }));
  gone.abort();
  for (const asked of [under, waits, one(encoder, 4, asker("a", { signal: gone.signal }))]) {
    await assert.rejects(asked, { status: 499, code: "client_gone" });
  }
  clock.advance(999);
  assert.equal(workers.length, 1);
  clock.advance(1);
  assert.deepEqual([workers[0].terminated, workers.length], [true, 2]);
  workers[0].answer(9); // its last words
  assert.deepEqual(scales(workers[1]), [3]);
  workers[1].answer(3);
  assert.equal(await next, 3);
  assert.equal(clock.pending, 0);

  const quick = new AbortController();
  const left = one(encoder, 5, asker("a", { signal: quick.signal }));
  const after = one(encoder, 6);
  quick.abort();
  await assert.rejects(left, { status: 499 });
  workers[1].answer(5); // in time: the worker stays
  workers[1].answer(6);
  assert.equal(await after, 6);
  assert.deepEqual([workers.length, clock.pending], [2, 0]);
});

Deno.test("a request past its deadline is 504: nothing is encoded for it, and no other makes room", async () => {
  const { encoder, workers: [worker], clock } = faked({ waiting: 2 });
  await assert.rejects(one(encoder, 1, asker("a", { seconds: 0 })), { status: 504, code: "timeout" });
  assert.deepEqual(scales(worker), []);
  const crowd = [one(encoder, 2, asker("b")), one(encoder, 3, asker("b"))];
  await assert.rejects(one(encoder, 1, asker("a", { seconds: 0 })), { status: 504, code: "timeout" });
  for (const value of [4, 5]) worker.answer(value);
  assert.deepEqual(await Promise.all(crowd), [4, 5]);
  assert.deepEqual(scales(worker), [2, 3]);
  assert.equal(clock.pending, 0);
});

Deno.test("a request that runs out of time while it is encoded is 504", async () => {
  const { encoder, workers: [worker], clock } = faked();
  const [first, second] = [one(encoder, 1), one(encoder, 2, asker("b", { seconds: 3 }))];
  clock.advance(2999);
  assert.deepEqual(scales(worker), [1]);
  clock.advance(1);
  await assert.rejects(second, { status: 504, code: "timeout" });
  worker.answer(1);
  assert.equal(await first, 1);
  assert.deepEqual([scales(worker), clock.pending], [[1], 0]);
});

Deno.test("a worker that ends fails its picture, and the next one gets a new worker", async () => {
  const { encoder, workers } = faked();
  const lost = encoder.encode([pictureJob("gif")], asker());
  const next = one(encoder);
  workers[0].crash();
  await assert.rejects(lost, /the encoder's worker ended \(out of memory\) at a gif/);
  assert.deepEqual([workers.length, workers[0].terminated], [2, true]);
  workers[1].answer(5);
  assert.equal(await next, 5);

  workers[1].crash(); // with nothing to do
  assert.equal(workers.length, 2);
  const after = one(encoder);
  workers[2].answer(6);
  assert.equal(await after, 6);
});

Deno.test("a real worker that ends does not end the process", async () => {
  const source = "onmessage = () => { setTimeout(() => { throw new Error('gone'); }); };";
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const encoder = new WorkerEncoder({ start: () => new Worker(url, { type: "module" }) });
  try {
    await assert.rejects(one(encoder), /ended \(.*gone/);
    await assert.rejects(one(encoder), /ended \(.*gone/);
  } finally {
    encoder.close();
    URL.revokeObjectURL(url);
  }
});

Deno.test("a picture that takes too long is given up, and its worker with it", async () => {
  const { encoder, workers, clock } = faked();
  const slow = encoder.encode([pictureJob("webp")], asker());
  clock.advance(59_999);
  assert.equal(workers.length, 1);
  const next = one(encoder);
  clock.advance(1);
  await assert.rejects(slow, /took more than 60 s at a webp/);
  workers[1].answer(1);
  await next;
  assert.deepEqual([workers[0].terminated, workers.length, clock.pending], [true, 2, 0]);
});

Deno.test("only so many requests may wait, whatever the number of their pictures", async () => {
  const { encoder, workers: [worker] } = faked({ waiting: 2 });
  const many = encoder.encode(Array.from({ length: 300 }, () => pictureJob("png")), asker());
  const accepted = [one(encoder)];
  await assert.rejects(one(encoder), { status: 503, code: "encoder_busy" });
  for (let i = 0; i < 301; i++) worker.answer(i);
  accepted.push(one(encoder));
  worker.answer(0);
  assert.equal((await many).length, 300);
  assert.equal((await Promise.all(accepted)).length, 2);
});

Deno.test("a closed encoder refuses what waits and what comes", async () => {
  const { encoder, workers: [worker], clock } = faked();
  const waiting = [one(encoder), one(encoder)];
  encoder.close();
  for (const asked of [...waiting, one(encoder)]) await assert.rejects(asked, /closed/);
  assert.deepEqual([worker.terminated, clock.pending], [true, 0]);
});

Deno.test("encoding needs no permission but to read the program", async () => {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  const script = `
    import { WorkerEncoder } from ${
    JSON.stringify(new URL("../../../server/pictures/worker_encoder.ts", import.meta.url).href)
  };
    const encoder = new WorkerEncoder();
    const image = new Uint8Array(192);
    for (const format of ["png", "jpeg", "webp", "gif"]) {
      const job = { format, height: 8, width: 8, scale: 1, images: [image], metadata: [{}] };
      const asker = { client: "a", signal: new AbortController().signal, seconds: 60 };
      console.log(format, (await encoder.encode([job], asker))[0].length > 0);
    }
    encoder.close();`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--no-check", `--config=${root}deno.json`],
      ...[
        `--allow-read=${root}server,${root}lib,${root}deno.json`,
        `data:text/javascript,${encodeURIComponent(script)}`,
      ],
    ],
  }).output();
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  assert.equal(text(stdout), "png true\njpeg true\nwebp true\ngif true\n", text(stderr));
});
