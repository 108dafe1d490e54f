/** InceptionV3 against the same network in PyTorch (tests/golden/inception.py), on weights from a formula. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { InceptionV3, type Preprocessing } from "../../../lib/evaluation/inception/inception_v3.ts";
import { inceptionParameters, inceptionV3 } from "../../../lib/evaluation/inception/network.ts";
import { RESIZES } from "../../../lib/evaluation/inception/pass.ts";
import { inceptionWeights } from "../../../lib/evaluation/inception/weights.ts";
import { encodeSafetensors } from "../../../lib/files/safetensors.ts";
import { Graph } from "../../../lib/graph/graph.ts";
import {
  goldenImages,
  goldenStateDict,
  type InceptionCase,
  loadInceptionCase,
} from "../../golden/inception.ts";
import { assertDigest, fromDevice } from "../../golden/tensors.ts";
import { DeviceGraph } from "../../support/device_graph.ts";
import { testGpu, testTargets } from "../../support/gpu.ts";

const small = loadInceptionCase("small");

/** Loads the network of a case from a file. */
async function withNetwork<T>(
  golden: InceptionCase,
  options: Parameters<typeof InceptionV3.load>[2],
  body: (network: InceptionV3) => Promise<T>,
): Promise<T> {
  const directory = await Deno.makeTempDir();
  try {
    const path = join(directory, "weights.safetensors");
    await Deno.writeFile(path, encodeSafetensors(goldenStateDict(golden.case, inceptionParameters(golden))));
    const network = await InceptionV3.load(await testGpu(), path, { sizes: golden, ...options });
    try {
      return await body(network);
    } finally {
      await network.close();
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function imagesOf(golden: InceptionCase, copies = 1) {
  const [count, , height, width] = golden.images;
  const one = goldenImages(golden);
  const pixels = new Uint8Array(copies * one.length);
  for (let copy = 0; copy < copies; copy++) pixels.set(one, copy * one.length);
  return { pixels, count: copies * count, height, width };
}

/** Checks the features of a case's images; errors may be those of PyTorch in float32 times `factor`. */
async function checkFeatures(golden: InceptionCase, preprocessing: Preprocessing, factor: number) {
  await withNetwork(golden, { preprocessing }, async (network) => {
    const features = await network.features(imagesOf(golden));
    const expected = preprocessing === "tensorflow" ? golden.tensorflow : golden;
    for (const name of ["pool3", "logits"] as const) {
      const digest = expected[name];
      assertDigest(features[name], digest, factor * golden.float32[name] * digest.max, name);
    }
  });
}

for (const preprocessing of ["pytorch-fid", "tensorflow"] as const) {
  Deno.test(`features are PyTorch's, preprocessing as in ${preprocessing}`, () =>
    checkFeatures(small, preprocessing, 8));
}

for (const target of await testTargets()) {
  Deno.test(`every block gives what PyTorch's gives: ${target.path}`, async () => {
    const [batch, , height, width] = small.images;
    const g = new Graph();
    const images = g.input("images", [batch, height, width, 3], "uint8");
    const { activations } = inceptionV3(g, images, RESIZES["pytorch-fid"], small);
    const graph = await DeviceGraph.build(await testGpu(), g, { keep: [...activations.values()], target });
    const weights = inceptionWeights(goldenStateDict(small.case, graph.table), graph.table, "weights");
    graph.write(graph.parameters, weights);
    graph.write(images, new Uint32Array(goldenImages(small).buffer as ArrayBuffer));
    graph.forward.run();
    assert.deepEqual([...activations.keys()], Object.keys(small.activations));
    for (const [name, tensor] of activations) {
      const [memory] = await graph.read(tensor);
      const digest = small.activations[name]!;
      const absolute = 8 * small.float32.activations * digest.max;
      assertDigest(fromDevice(memory!, digest.shape), digest, absolute, name);
    }
    graph.destroy();
  });
}

Deno.test("an image has the same features in every batch, at every place", async () => {
  await withNetwork(small, { batch: 3 }, async (network) => {
    const alone = await network.features(imagesOf(small));
    const seven = await network.features(imagesOf(small, 7));
    for (const name of ["pool3", "logits"] as const) {
      const size = alone[name].length;
      for (let copy = 0; copy < 7; copy++) {
        const ofCopy = seven[name].slice(copy * size, (copy + 1) * size);
        assert.deepEqual(ofCopy, alone[name], `${name} of copy ${copy}`);
      }
    }
  });
});

// By hand: DENOISE_FULL_INCEPTION=1 deno task test tests/evaluation/inception. Half a minute and 1 GB.
Deno.test({
  name: "features of the network in full are PyTorch's",
  ignore: Deno.env.get("DENOISE_FULL_INCEPTION") === undefined,
  fn: async () => {
    const full = loadInceptionCase("full");
    await checkFeatures(full, "pytorch-fid", 8);
    await checkFeatures(full, "tensorflow", 8);
  },
});
