import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { PictureError } from "../../../server/pictures/decoder.ts";
import { decodeEdit } from "../../../server/pictures/decoding.ts";
import { WorkerDecoder } from "../../../server/pictures/worker_decoder.ts";
import { makeJpeg, makeWebp } from "../../support/image_files.ts";
import { makePng } from "../../support/synthetic.ts";

const asker = { client: "a", signal: new AbortController().signal, seconds: 60 };
const size = { height: 8, width: 8, channels: 3 };

const photo = () => makeJpeg(40, 24, (x, y) => [6 * x, 10 * y, 90]);
const mask = () => makeWebp(40, 24, (x) => [0, 0, 0, x < 20 ? 0 : 255], { lossless: true });

Deno.test("the worker gives what this thread would, names a bad file, and goes on", async () => {
  const decoder = new WorkerDecoder();
  try {
    const edit = await decoder.decode({ image: await photo(), mask: await mask(), ...size }, asker);
    assert.deepEqual(edit, await decodeEdit({ image: await photo(), mask: await mask(), ...size }));
    assert.deepEqual([edit.image.length, edit.mask?.length], [192, 64]);
    await assert.rejects(
      decoder.decode({ image: await photo(), mask: await photo(), ...size }, asker),
      (error) => error instanceof PictureError && error.field === "mask",
    );
    await assert.rejects(
      decoder.decode({ image: new Uint8Array(9), ...size }, asker),
      /^PictureError: image: nothing but zero bytes; expected a PNG, JPEG, WebP or GIF image$/,
    );
    const png = Uint8Array.from(await makePng(16, 16, () => [0, 0, 0]));
    const { image } = await decoder.decode({ image: png, ...size }, asker);
    assert.ok(image.every((value) => value === -1));
  } finally {
    decoder.close();
  }
});

Deno.test("a grey model's image is the luma of the colours, and need not be square", async () => {
  const image = Uint8Array.from(await makePng(12, 6, () => [30, 60, 255]));
  const edit = await decodeEdit({ image, height: 4, width: 8, channels: 1 });
  // ITU-R BT.601: 0.299 x 30 + 0.587 x 60 + 0.114 x 255
  assert.deepEqual(edit.image, new Float32Array(32).fill(73 * (2 / 255) - 1));
});

Deno.test("only so many requests may wait for the decoder", async () => {
  const workers: { terminated: boolean }[] = [];
  const start = () => {
    const worker = { terminated: false, postMessage() {}, terminate: () => worker.terminated = true };
    workers.push(worker);
    return worker as unknown as Worker;
  };
  const decoder = new WorkerDecoder({ start });
  assert.equal(workers.length, 0, "the worker starts with the first picture");
  const waiting = Array.from(
    { length: 16 },
    () => decoder.decode({ image: new Uint8Array(9), ...size }, asker),
  );
  const refused = decoder.decode({ image: new Uint8Array(9), ...size }, asker);
  await assert.rejects(refused, { name: "JobError", status: 503, code: "decoder_busy", retryAfter: 2 });
  decoder.close();
  for (const each of waiting) await assert.rejects(each, /the decoder was closed/);
  assert.deepEqual(workers.map(({ terminated }) => terminated), [true]);
});

Deno.test("a client that fills the queue makes room for others, its latest request first", async () => {
  const start = () => ({ postMessage() {}, terminate() {} }) as unknown as Worker;
  const decoder = new WorkerDecoder({ start, waiting: 4 });
  const ended: string[] = [];
  const ask = async (name: string) => {
    const client = name.slice(0, 1);
    const error = await decoder.decode({ image: new Uint8Array(9), ...size }, { ...asker, client })
      .then(() => "decoded", (error) => error.code ?? "closed");
    ended.push(`${name} ${error}`);
  };
  const asked = ["a1", "a2", "a3", "a4", "b1", "b2", "a5", "c1"].map(ask);
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(ended.toSorted(), ["a2", "a3", "a4", "a5"].map((name) => `${name} decoder_busy`));
  decoder.close();
  await Promise.all(asked);
});

Deno.test("clients share the decoder by the pixels that their files claim, not by bytes", async () => {
  const sent: number[] = [];
  let answer = () => {};
  const start = () => {
    const worker = {
      onmessage: (_: unknown) => {},
      postMessage: ({ width }: { width: number }) => sent.push(width),
      terminate() {},
    };
    answer = () => worker.onmessage({ data: { result: { edit: {} } } });
    return worker as unknown as Worker;
  };
  const decoder = new WorkerDecoder({ start });
  const huge = Uint8Array.from(await makePng(8, 8, () => [0, 0, 0]));
  new DataView(huge.buffer).setUint32(16, 4000);
  new DataView(huge.buffer).setUint32(20, 4000);
  const small = await makeNoise(64);
  assert.ok(50 * huge.length < small.length);
  const ask = (client: string, image: Uint8Array<ArrayBuffer>, width: number) =>
    decoder.decode({ image: image.slice(), height: 8, channels: 3, width }, { ...asker, client });
  const asked = [
    ...[1, 2, 3].map((width) => ask("huge", huge, width)),
    ...[4, 5, 6, 7].map((width) => ask("small", small, width)),
  ];
  for (const _ of asked) answer();
  await Promise.all(asked);
  assert.deepEqual(sent, [1, 4, 5, 6, 7, 2, 3]);
  decoder.close();
});

/** A WebP that does not compress. */
async function makeNoise(side: number): Promise<Uint8Array<ArrayBuffer>> {
  let seed = 1;
  const next = () => (seed = seed * 48271 % 2147483647) % 256;
  return await makeWebp(side, side, () => [next(), next(), next()], { lossless: true });
}

Deno.test("decoding needs no permission but to read the program", async () => {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  const png = Uint8Array.from(await makePng(16, 16, () => [0, 0, 0]));
  const cmyk = await Deno.readFile(new URL("../../data/fixtures/cmyk.jpg", import.meta.url));
  const files = [png, await photo(), await mask(), cmyk].map((bytes) => bytes.toBase64());
  const script = `
    import { WorkerDecoder } from ${
    JSON.stringify(new URL("../../../server/pictures/worker_decoder.ts", import.meta.url).href)
  };
    const decoder = new WorkerDecoder();
    const asker = { client: "a", signal: new AbortController().signal, seconds: 60 };
    for (const file of ${JSON.stringify(files)}) {
      const job = { image: Uint8Array.fromBase64(file), height: 8, width: 8, channels: 3 };
      console.log((await decoder.decode(job, asker)).image.length);
    }
    decoder.close();`;
  // by standard input, since the files are too long for an argument
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--no-check", `--config=${root}deno.json`],
      ...[`--allow-read=${root}server,${root}lib,${root}deno.json`, "-"],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  const process = command.spawn();
  await new Blob([script]).stream().pipeTo(process.stdin);
  const { stdout, stderr } = await process.output();
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  assert.equal(text(stdout), "192\n192\n192\n192\n", text(stderr));
});
