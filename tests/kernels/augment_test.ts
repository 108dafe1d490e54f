import assert from "node:assert/strict";
import { augmentForward } from "../../kernels/augment.ts";
import { augmentReference, type AugmentReferenceInput } from "../reference/augment.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { unpackChannels } from "../support/layout.ts";
import { packBytes, stepWords } from "../support/step.ts";
import { FLOAT32, STORAGES } from "../support/storage.ts";

type Case = AugmentReferenceInput & { readonly chunks: readonly number[] };

/** A data set of 11 images. */
function input(change: Partial<Case> = {}): Case {
  const { height = 8, width = 8, channels = 3 } = change;
  return {
    ...{ batch: 5, count: 5, position: 0, step: 0, stream: 0, key: [7, 9], shift: 2, flip: true },
    ...{ height, width, channels },
    order: Uint32Array.from({ length: 11 }, (_, i) => (i * 4 + 3) % 11),
    images: Uint8Array.from({ length: 11 * height * width * channels }, (_, i) => (i * 37 + (i >> 3)) % 256),
    imageLabels: Uint8Array.from({ length: 11 }, (_, i) => (i * 7) % 10),
    chunks: [11],
    ...change,
  };
}

async function run(of: Case, storage = FLOAT32) {
  const { batch, height, width, channels, chunks, shift, flip } = of;
  const [seedLo, seedHi] = of.key;
  const x = storage.empty(batch * height * width * 4 * Math.ceil(channels / 4));
  const labels = new Uint32Array(batch).fill(99);
  const shared = {
    step_state: stepWords({ ...of, seedLo, seedHi }),
    order: Uint32Array.from(of.order),
    image_labels: packBytes(Uint8Array.from(of.imageLabels)),
    ...{ x, labels },
  };
  const bytes = Uint8Array.from(of.images);
  let chunkFirst = 0;
  await storage.run(chunks.flatMap((chunkCount) => {
    const size = height * width * channels;
    const images = packBytes(bytes.subarray(chunkFirst * size, (chunkFirst + chunkCount) * size));
    const shape = { batch, height, width, channels, chunkFirst, chunkCount, shift, flip };
    chunkFirst += chunkCount;
    return augmentForward<HostArray>(shape, { ...shared, images });
  }));
  return { x: unpackChannels(x, channels), labels: [...labels] };
}

const cases: Record<string, Partial<Case>> = {
  "shifted and mirrored: [5,8,8,3]": {},
  "in the middle of an epoch": { position: 6, step: 7 },
  "a short last batch of 2 of 5": { position: 9, count: 2, step: 9 },
  "neither shifted nor mirrored": { shift: 0, flip: false },
  "shifted by as much as possible: [5,5,3,6]": { height: 5, width: 3, channels: 6, step: 3 },
  "more than one workgroup: [2,35,33,3]": { batch: 2, count: 2, height: 35, width: 33, shift: 4 },
  "one pixel: [5,1,1,1]": { height: 1, width: 1, channels: 1, shift: 0 },
  "three chunks": { chunks: [4, 1, 6] },
  "largest step and seed": { step: 2 ** 32 - 1, key: [2 ** 32 - 1, 2 ** 21 - 1] },
};

for (const [name, change] of Object.entries(cases)) {
  for (const storage of STORAGES) {
    Deno.test(`augment matches reference: ${name}${storage.suffix}`, async () => {
      const of = input(change);
      const expected = augmentReference(of);
      const { x, labels } = await run(of, storage);
      assert.deepEqual(labels, expected.labels);
      // One multiplication and one subtraction.
      assertClose(x, expected.x, storage.stored({ absolute: 2e-7 }), "x");
    });
  }
}

Deno.test("augment's shifts are uniform over both axes, and half of the images are mirrored", async () => {
  // A white pixel in the middle of black ones shows where the image went; a grey one beside it, on which side.
  const [size, batch] = [9, 4000];
  const images = new Uint8Array(size * size);
  images[4 * size + 4] = 255;
  images[4 * size + 5] = 128;
  const { x } = await run(input({
    ...{ batch, count: batch, height: size, width: size, channels: 1, images, chunks: [1] },
    ...{ order: new Uint32Array(batch), imageLabels: Uint8Array.of(3) },
  }));
  const counts = new Map<string, number>();
  for (let n = 0; n < batch; n++) {
    const own = x.subarray(n * size * size, (n + 1) * size * size);
    const at = own.indexOf(1);
    const mirrored = own[at - 1]! > -1;
    const key = `${at % size - 4} ${Math.floor(at / size) - 4} ${mirrored}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.equal(counts.size, 50);
  // Five standard deviations of a binomial count.
  const [mean, deviation] = [batch / 50, Math.sqrt(batch / 50 * 49 / 50)];
  for (const [key, count] of counts) assert.ok(Math.abs(count - mean) < 5 * deviation, `${key}: ${count}`);
});
