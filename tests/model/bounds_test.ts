/**
 * Bounds of the kernels' indices: all launches of training steps and sampling passes, each by itself on tensors that end where
 * their buffers' ranges end. Drivers take minutes to compile all kernels, so only some products run here by default;
 * `deno task test --bounds` runs all, those of the presets with every candidate of every choice, and instruments the devices of
 * all other tests.
 */
import assert from "node:assert/strict";
import { EMULATED_MATRICES, type KernelTarget } from "../../kernels/target.ts";
import type { Launch } from "../../kernels/source.ts";
import type { Graph } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import type { UNetConfig } from "../../lib/model/config.ts";
import { recordForward } from "../../lib/model/network.ts";
import { CIFAR10_PRESETS, presetConfig } from "../../lib/model/presets.ts";
import { trainingGraph } from "../../lib/train/device/step_graph.ts";
import { describeFaults, watchBounds } from "../support/bounds/device.ts";
import { distinctLaunches, runAlone } from "../support/bounds/launches.ts";
import { testGpu } from "../support/gpu.ts";
import { microNetwork } from "../support/train/micro.ts";

const gpu = await testGpu();
const report = watchBounds(gpu.device);

/** True in a run of all tests with instrumented devices. */
const THOROUGH = Deno.env.get("DENOISE_BOUNDS") === "check";

const TILE: KernelTarget = {
  ...{ path: "tile", subgroupSize: 0 },
  workgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
};

const TARGETS: Readonly<Record<string, { target: KernelTarget; precision: "float32" | "mixed" }>> = {
  "software adapters": {
    target: { path: "subgroup", subgroupSize: gpu.adapter.subgroupSize },
    precision: "float32",
  },
  GPUs: { target: TILE, precision: "float32" },
  "matrix units": { target: { ...TILE, matrices: EMULATED_MATRICES }, precision: "mixed" },
};

/** Sizes that no tile, workgroup or vector divides: an image of 7x7 and channels up to 20, heads of 5. */
const ODD = microNetwork({
  ...{ sampleSize: 14, blockOutChannels: [6, 20], normNumGroups: 2, attentionHeadDim: 5, numClassEmbeds: 4 },
  ...{ dropout: 0.1 },
});

function graphsOf(config: UNetConfig, batch: number, precision: "float32" | "mixed"): Graph[] {
  return [trainingGraph({ config, batch, precision }), recordForward(config, batch, precision).g];
}

/** A convolution, its weight gradient with a shorter last part of the sum, and a product of attention. */
const EXAMPLES = /^(conv2d_forward|conv2d_backward_weight(?:_rows)?|matmul_nn_scalar)_(?:subgroup|tile|half)/;

/** Kernels that take long to compile. */
const SLOW = /^(?:conv2d|matmul|winograd|group_norm)/;

/** The first launches of the examples. */
function examplesOf(launches: readonly Launch<Tensor>[]): Launch<Tensor>[] {
  const examples = new Map<string, Launch<Tensor>>();
  for (const launch of launches) {
    const example = EXAMPLES.exec(launch.kernel.name)?.[1];
    if (example === undefined || examples.has(example)) continue;
    const { turns = 0, share = 1 } = launch.params as Record<string, number>;
    if (!example.includes("weight") || turns > share && turns % share > 0) examples.set(example, launch);
  }
  assert.equal(examples.size, 3);
  return [...examples.values()];
}

async function check(launches: readonly Launch<Tensor>[]) {
  await runAlone(gpu, launches);
  assert.equal(describeFaults(await report.faults()), "");
}

for (const [on, { target, precision }] of Object.entries(TARGETS)) {
  const ignore = target.path === "subgroup" && gpu.adapter.subgroupSize !== 8;
  Deno.test(
    { name: `no index leaves its tensor in a network of odd sizes, on ${on}`, ignore },
    () => {
      const choices = THOROUGH ? "all" : "default";
      const all = graphsOf(ODD, 3, precision).flatMap((g) => distinctLaunches(g, target, choices));
      // Kernels that are not products are almost the same on all targets.
      const others = target.path === "subgroup" ? all.filter(({ kernel }) => !SLOW.test(kernel.name)) : [];
      return check(THOROUGH ? all : [...examplesOf(all), ...others]);
    },
  );
  for (const preset of CIFAR10_PRESETS) {
    const name = `no index leaves its tensor in any candidate of ${preset}, on ${on}`;
    Deno.test({ name, ignore: ignore || !THOROUGH }, () => {
      const config = presetConfig(preset, 10, preset === "tiny" ? {} : { sampleSize: 16 });
      return check(graphsOf(config, 2, precision).flatMap((g) => distinctLaunches(g, target, "all")));
    });
  }
}
