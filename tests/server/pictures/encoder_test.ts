import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { GIF, Image } from "imagescript";
import decodeWebp from "@jsquash/webp/decode.js";
import { decodePng } from "../../../lib/image/png.ts";
import type { PictureFormat, PictureJob } from "../../../server/pictures/encoder.ts";
import type { EncoderAnswer } from "../../../server/pictures/encoder_worker.ts";
import { encodeFile } from "../../../server/pictures/encoding.ts";
import { WorkerEncoder } from "../../../server/pictures/worker_encoder.ts";
import { FakeClock } from "../fake_clock.ts";

/** An image of one colour. */
function plain(red: number, green: number, blue: number, size = 8): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size * size * 3 }, (_, i) => [red, green, blue][i % 3]);
}

function job(format: PictureFormat, changes: Partial<PictureJob> = {}): PictureJob {
  const images = [plain(200, 40, 90)];
  return { format, height: 8, width: 8, scale: 1, images, metadata: images.map(() => ({})), ...changes };
}

/** Colours of a picture's pixels, RGB. */
async function decode(format: PictureFormat, file: Uint8Array<ArrayBuffer>): Promise<Picture> {
  if (format === "png") {
    const { rgb, width, height } = await decodePng(file);
    return { width, height, at: (x, y) => [...rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)] };
  }
  if (format === "webp") {
    return pictureOf(await decodeWebp(file.buffer), ({ data }) => data as Uint8ClampedArray);
  }
  const image = format === "gif" ? (await GIF.decode(file)).at(-1)! : await Image.decode(file);
  return pictureOf(image, ({ bitmap }) => bitmap);
}

function pictureOf<T extends { readonly width: number; readonly height: number }>(
  image: T,
  rgba: (image: T) => Uint8ClampedArray,
): Picture {
  const { width, height } = image;
  const at = (x: number, y: number) => {
    const start = (y * width + x) * 4;
    return [...rgba(image).subarray(start, start + 3)];
  };
  return { width, height, at };
}

interface Picture {
  readonly width: number;
  readonly height: number;
  readonly at: (x: number, y: number) => number[];
}

function near(actual: number[], expected: number[], tolerance: number, what: string): void {
  const close = actual.every((value, i) => Math.abs(value - expected[i]) <= tolerance);
  assert.ok(close, `${what}: ${actual}, expected about ${expected}`);
}

for (const format of ["png", "jpeg", "webp", "gif"] as const) {
  const tolerance = format === "png" ? 0 : 8;

  Deno.test(`${format}: an image keeps its size, colours and scale`, async () => {
    const one = await decode(format, await encodeFile(job(format)));
    assert.deepEqual([one.width, one.height], [8, 8]);
    near(one.at(3, 4), [200, 40, 90], tolerance, format);
    const large = await decode(format, await encodeFile(job(format, { scale: 5 })));
    assert.deepEqual([large.width, large.height], [40, 40]);
    near(large.at(39, 0), [200, 40, 90], tolerance, format);
  });

  Deno.test(`${format}: several images make a grid, in order`, async () => {
    const images = [plain(255, 0, 0), plain(0, 160, 0), plain(0, 0, 255)];
    const changes = { images, metadata: images.map(() => ({})), scale: 4 };
    const { at, width, height } = await decode(format, await encodeFile(job(format, changes)));
    assert.deepEqual([width, height], [70, 70]);
    near(at(18, 18), [255, 0, 0], tolerance, format);
    near(at(52, 18), [0, 160, 0], tolerance, format);
    near(at(18, 52), [0, 0, 255], tolerance, format);
    near(at(52, 52), [255, 255, 255], tolerance, format);
  });

  Deno.test(`${format}: equal pictures give equal bytes`, async () => {
    assert.deepEqual(await encodeFile(job(format)), await encodeFile(job(format)));
  });
}

Deno.test("a png keeps what is known of its image, and of all the images of a grid", async () => {
  const metadata = [{ seed: 1, class: "cat" }, { seed: 2, class: "cat" }];
  const { text } = await decodePng(await encodeFile(job("png", { metadata: [metadata[0]] })));
  assert.deepEqual(text, { seed: "1", class: "cat" });
  const images = [plain(1, 2, 3), plain(4, 5, 6)];
  const grid = await decodePng(await encodeFile(job("png", { images, metadata })));
  assert.deepEqual(grid.text, { seed: "1, 2", class: "cat" });
});

Deno.test("a gif has its frames before the image", async () => {
  const frames = [[plain(0, 0, 0)], [plain(120, 120, 120)]];
  const gif = await GIF.decode(await encodeFile(job("gif", { frames })));
  assert.equal(gif.length, 3);
  for (const [i, grey] of [0, 120].entries()) {
    near([...gif[i].bitmap.subarray(0, 3)], [grey, grey, grey], 4, `${i}`);
  }
});

Deno.test("the worker gives the bytes that this thread would", async () => {
  const encoder = new WorkerEncoder();
  try {
    const formats = ["png", "jpeg", "webp", "gif"] as const;
    const files = await Promise.all(formats.map((format) => encoder.encode(job(format))));
    for (const [i, format] of formats.entries()) {
      assert.deepEqual(files[i], await encodeFile(job(format)), format);
    }
    await assert.rejects(encoder.encode(job("png", { scale: 99 })), /scale: expected/);
    assert.ok((await encoder.encode(job("png"))).length > 0);
  } finally {
    encoder.close();
  }
});

/** Stands in for the worker: answers, ends or stays silent as a test says. */
class FakeWorker extends EventTarget {
  static started: FakeWorker[] = [];
  onmessage: ((event: MessageEvent<EncoderAnswer>) => void) | null = null;
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

  answer(answer: EncoderAnswer): void {
    this.onmessage!(new MessageEvent("message", { data: answer }));
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

const bytes = (value: number) => ({ bytes: Uint8Array.of(value) });

Deno.test("pictures go to the worker one at a time, in order", async () => {
  const { encoder, workers: [worker] } = faked();
  const files = ["png", "jpeg", "gif"].map((format) => encoder.encode(job(format as PictureFormat)));
  for (let i = 0; i < 3; i++) {
    assert.equal(worker.jobs.length, i + 1);
    worker.answer(bytes(i));
  }
  assert.deepEqual((await Promise.all(files)).map(([value]) => value), [0, 1, 2]);
  assert.deepEqual(worker.jobs.map(({ format }) => format), ["png", "jpeg", "gif"]);
});

Deno.test("a worker that ends fails its picture, and the next one gets a new worker", async () => {
  const { encoder, workers } = faked();
  const lost = encoder.encode(job("gif"));
  const next = encoder.encode(job("png"));
  workers[0].crash();
  await assert.rejects(lost, /the encoder's worker ended \(out of memory\) at a gif/);
  assert.deepEqual([workers.length, workers[0].terminated], [2, true]);
  workers[1].answer(bytes(5));
  assert.deepEqual(await next, Uint8Array.of(5));

  workers[1].crash(); // with nothing to do
  assert.equal(workers.length, 2);
  const after = encoder.encode(job("png"));
  workers[2].answer(bytes(6));
  assert.deepEqual(await after, Uint8Array.of(6));
});

Deno.test("a real worker that ends does not end the process", async () => {
  const source = "onmessage = () => { setTimeout(() => { throw new Error('gone'); }); };";
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const encoder = new WorkerEncoder({ start: () => new Worker(url, { type: "module" }) });
  try {
    await assert.rejects(encoder.encode(job("png")), /ended \(.*gone/);
    await assert.rejects(encoder.encode(job("png")), /ended \(.*gone/);
  } finally {
    encoder.close();
    URL.revokeObjectURL(url);
  }
});

Deno.test("a picture that takes too long is given up, and its worker with it", async () => {
  const { encoder, workers, clock } = faked();
  const slow = encoder.encode(job("webp"));
  clock.advance(59_999);
  assert.equal(workers.length, 1);
  const next = encoder.encode(job("png"));
  clock.advance(1);
  await assert.rejects(slow, /took more than 60 s at a webp/);
  workers[1].answer(bytes(1));
  await next;
  assert.deepEqual([workers[0].terminated, workers.length, clock.pending], [true, 2, 0]);
});

Deno.test("only so many pictures may wait", async () => {
  const { encoder, workers: [worker] } = faked({ waiting: 2 });
  const accepted = [encoder.encode(job("png")), encoder.encode(job("png"))];
  await assert.rejects(encoder.encode(job("png")), { status: 503, code: "encoder_busy" });
  worker.answer(bytes(0));
  accepted.push(encoder.encode(job("png")));
  worker.answer(bytes(0));
  worker.answer(bytes(0));
  assert.equal((await Promise.all(accepted)).length, 3);
});

Deno.test("a closed encoder refuses what waits and what comes", async () => {
  const { encoder, workers: [worker], clock } = faked();
  const waiting = [encoder.encode(job("png")), encoder.encode(job("png"))];
  encoder.close();
  for (const one of [...waiting, encoder.encode(job("png"))]) await assert.rejects(one, /closed/);
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
      console.log(format, (await encoder.encode(job)).length > 0);
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
