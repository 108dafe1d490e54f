import assert from "node:assert/strict";
import { join } from "node:path";
import { imageDataset } from "../../../lib/data/image_dataset.ts";
import type { ImageBatch, InceptionV3 } from "../../../lib/evaluation/inception/inception_v3.ts";
import { measureInception } from "../../../lib/evaluation/inception/measures.ts";
import { inceptionReference } from "../../../lib/evaluation/inception/reference.ts";
import { assertClose } from "../../support/close.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import { noise } from "../../reference/differences.ts";

/** Images of one pixel, whose three bytes are their features. */
const pixels = (count: number) =>
  imageDataset({
    ...{ name: "pixels", classes: ["a"], height: 1, width: 1, labels: new Uint8Array(count) },
    images: Uint8Array.from(noise(3 * count, 1), (value) => Math.round(127 * (value + 1))),
  });

/** Three parts, the last of half the size. */
const COUNT = 2500;
const data = pixels(COUNT);

/** A network that notes how many images it sees, and fails after some. */
class FakeNetwork implements Pick<InceptionV3, "digest" | "preprocessing" | "features"> {
  readonly digest = "0123456789abcdef0123";
  readonly preprocessing = "pytorch-fid";
  seen = 0;
  limit = Infinity;

  features({ pixels, count }: ImageBatch) {
    if (this.seen + count > this.limit) return Promise.reject(new Error("interrupted"));
    this.seen += count;
    return Promise.resolve({ pool3: Float32Array.from(pixels), logits: new Float32Array(2 * count) });
  }
}

Deno.test("statistics of a data set are computed once, and an interrupted computation goes on", async () => {
  await inTemporaryDirectory(async (directory) => {
    const network = new FakeNetwork();
    network.limit = 2000;
    await assert.rejects(inceptionReference(network, data, directory), { message: "interrupted" });
    network.limit = Infinity;
    const done: number[] = [];
    const onProgress = (images: number) => void done.push(images);
    const first = await inceptionReference(network, data, directory, { onProgress });
    assert.equal(network.seen, COUNT, "the first two parts are not computed again");
    assert.equal(done.at(-1), COUNT);
    const again = await inceptionReference(network, data, directory);
    assert.equal(network.seen, COUNT);
    assert.deepEqual(again, {
      ...first,
      some: { ...first.some, values: Float32Array.from(first.some.values) },
    });
    const files = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) => name !== ".lock");
    const [path] = files;
    assert.deepEqual(files, [path!], "no parts are left");
    assert.match(path!, /^inception-pytorch-fid-0123456789abcdef-[0-9a-f]{16}\.safetensors$/);

    // A damaged file is computed again.
    const bytes = await Deno.readFile(join(directory, path!));
    bytes[bytes.length - 1]! ^= 1;
    await Deno.writeFile(join(directory, path!), bytes);
    assert.deepEqual(await inceptionReference(network, data, directory), first);
    assert.equal(network.seen, 2 * COUNT);
  });
});

Deno.test("FID, KID and Inception score of the reference's own images, and of others", async () => {
  await inTemporaryDirectory(async (directory) => {
    const network = new FakeNetwork();
    const few = pixels(300);
    const reference = await inceptionReference(network, few, directory);
    const pool3 = Float32Array.from(few.images.range());
    // Two classes, each certain for half of the images.
    const logits = Float32Array.from({ length: 2 * few.count }, (_, i) => (i >> 1) % 2 === i % 2 ? 30 : -30);
    const same = measureInception({ pool3, logits }, reference);
    assert.equal(same.images, 300);
    assertClose([same.fid], [0], { absolute: 1e-6 }, "FID");
    // Pairs of an image and itself count between the sets, but not within one.
    assert.ok(same.kid.mean < 0, `KID ${same.kid.mean}`);
    assertClose([same.inceptionScore.mean], [2], { absolute: 1e-6 }, "Inception score");

    // A mean that is off by 10 in one feature, and nothing else.
    const shifted = measureInception({ pool3: pool3.map((v, i) => i % 3 ? v : v + 10), logits }, reference);
    assertClose([shifted.fid], [100], { absolute: 1e-3 }, "FID");
    assert.ok(shifted.kid.mean > same.kid.mean);
  });
});
