/** Batches that are read before they are needed. */
import assert from "node:assert/strict";
import { type ImageReader, type ImageStore, MemoryImages } from "../../../lib/data/image_store.ts";
import { DataError } from "../../../lib/errors.ts";
import { ReadAhead } from "../../../lib/train/device/read_ahead.ts";

/** A store of one-byte images that notes what its reader was asked for, and fails at an image. */
class NotedStore implements ImageStore {
  readonly count = 100;
  readonly bytesPerImage: number;
  readonly asked: number[][] = [];
  closed = false;
  readonly #broken: number | undefined;

  constructor(bytesPerImage = 1, broken?: number) {
    this.bytesPerImage = bytesPerImage;
    this.#broken = broken;
  }

  read(indices: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(indices);
  }

  range(): Uint8Array {
    throw new Error("not needed");
  }

  close(): void {}

  openReader(): ImageReader {
    return {
      read: (indices) => {
        this.asked.push([...indices]);
        const broken = this.#broken !== undefined && indices.includes(this.#broken);
        return broken ? Promise.reject(new DataError("image 7: gone")) : Promise.resolve(this.read(indices));
      },
      close: () => void (this.closed = true),
    };
  }
}

const order = Uint32Array.from({ length: 10 }, (_, i) => 9 - i);
const indices = Uint32Array.from({ length: 10 }, (_, i) => 10 * i);

Deno.test("batches come in the order's order, the next ones read before the first is taken", async () => {
  const store = new NotedStore();
  const ahead = new ReadAhead(store, indices, 4);
  ahead.start(order, 0);
  const all = [[90, 80, 70, 60], [50, 40, 30, 20], [10, 0]];
  assert.deepEqual(store.asked, all, "known as soon as the order is");
  assert.deepEqual([...await ahead.take(0, 4)], all[0]);
  assert.deepEqual([...await ahead.take(4, 4)], all[1]);
  assert.deepEqual([...await ahead.take(8, 2)], all[2]);
  assert.equal(store.asked.length, 3, "each is read once");
  ahead.start(order, 4);
  assert.deepEqual([...await ahead.take(4, 4)], all[1], "in mid-epoch, as after a resume");
  assert.deepEqual([...await ahead.take(0, 4)], all[0], "an earlier one again");
  assert.deepEqual([...await ahead.take(4, 4)], all[1]);
  ahead.close();
  assert.ok(store.closed);
});

Deno.test("what is read ahead is limited in bytes and batches", async () => {
  const long = Uint32Array.from({ length: 1000 }, (_, i) => i % 10);
  for (const [bytes, depth] of [[1, 64], [2 ** 20, 16], [2 ** 27, 2]] as const) {
    const store = new NotedStore(bytes);
    const ahead = new ReadAhead(store, indices, 4);
    ahead.start(long, 0);
    assert.deepEqual([ahead.depth, store.asked.length], [depth, depth]);
    await ahead.take(0, 4);
    assert.equal(store.asked.length, depth + 1);
    ahead.close();
  }
});

Deno.test("an image that cannot be read fails the batch that it is in, and no other", async () => {
  const ahead = new ReadAhead(new NotedStore(1, 30), indices, 4);
  ahead.start(order, 0);
  assert.equal((await ahead.take(0, 4)).length, 4);
  await assert.rejects(ahead.take(4, 4), DataError);
  assert.equal((await ahead.take(8, 2)).length, 2);
  ahead.close();
});

Deno.test("images in memory are read ahead, too", async () => {
  const bytes = Uint8Array.from({ length: 20 }, (_, i) => i);
  const ahead = new ReadAhead(new MemoryImages(bytes, 2), Uint32Array.of(5, 9), 2);
  ahead.start(Uint32Array.of(1, 0), 0);
  assert.deepEqual([...await ahead.take(0, 2)], [18, 19, 10, 11]);
  ahead.close();
});
