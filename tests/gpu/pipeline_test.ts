import assert from "node:assert/strict";
import { DeviceError } from "../../lib/errors.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { PipelineCache } from "../../lib/gpu/pipeline.ts";
import { testGpu } from "../support/gpu.ts";
import { affine, broken, increment } from "../support/test_kernels.ts";

Deno.test("a pipeline is made once for the same text, entry, constants and buffers", async () => {
  const { pipelines } = await testGpu();
  const before = pipelines.size;
  const first = await pipelines.get(affine, "run", { factor: 2 }, ["x", "y"]);
  assert.equal(await pipelines.get(affine, "run", { factor: 2 }, ["y", "x"]), first);
  assert.equal(await pipelines.get({ ...affine }, "run", { factor: 2 }, ["x", "y"]), first);
  assert.equal(pipelines.size, before + 1);

  assert.notEqual(await pipelines.get(affine, "run", { factor: 3 }, ["x", "y"]), first);
  const changed = { ...affine, code: affine.code.replace("factor *", "factor +") };
  assert.notEqual(await pipelines.get(changed, "run", { factor: 2 }, ["x", "y"]), first);
  assert.equal(pipelines.size, before + 3);
});

const refusals: [what: string, message: RegExp, args: Parameters<typeof get>][] = [
  ["text that is no WGSL", /^kernel broken\.run was refused by .*nothing_of_the_kind/s, [broken, "run", {}, [
    "y",
  ]]],
  ["an entry point that is not there", /^kernel increment\.backward was refused/, [
    increment,
    "backward",
    {},
    ["y"],
  ]],
  ["a constant left out", /^kernel affine\.run was refused/, [affine, "run", {}, ["x", "y"]]],
  ["a constant it has not", /^kernel increment\.run was refused/, [increment, "run", { tile: 4 }, ["y"]]],
  ["a buffer left out", /^kernel affine\.run was refused/, [affine, "run", { factor: 1 }, ["y"]]],
  [
    "a buffer of another name",
    /^kernel affine\.run has no buffer z; it has x, y$/,
    [affine, "run", { factor: 1 }, ["x", "z"]],
  ],
];

async function get(
  ...args: Parameters<Awaited<ReturnType<typeof openGpu>>["pipelines"]["get"]>
): Promise<void> {
  const gpu = await openGpu();
  try {
    await gpu.pipelines.get(...args);
  } finally {
    assert.equal(gpu.fault, undefined, "the device was blamed");
    // No error scope is left behind: an error that nobody asked for still counts.
    const { device } = gpu; // read once: Dawn reports errors at once, and then it throws
    device.createBuffer({ size: 3, usage: 0 });
    await device.queue.onSubmittedWorkDone();
    assert.match(String(gpu.fault), /^DeviceError: WebGPU on .* reported: /);
    gpu.close();
  }
}

for (const [what, message, args] of refusals) {
  Deno.test(`refused, naming the kernel, while the device stays sound: ${what}`, () =>
    assert.rejects(get(...args), (error) => error instanceof DeviceError && message.test(error.message)));
}

Deno.test("refused by a driver that cannot compile what is valid, naming the kernel", async () => {
  const { device } = await testGpu();
  const filters: string[] = [];
  const host = {
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: () => ({}),
    createComputePipeline: () => ({}),
    pushErrorScope: (filter: string) => filters.push(filter),
    popErrorScope: () => Promise.resolve(filters.pop() === "internal" ? { message: "out of luck" } : null),
  };
  const pipelines = new PipelineCache({ device: host as unknown as typeof device, adapter: { name: "GPU" } });
  await assert.rejects(
    pipelines.get(increment, "run", {}, ["y"]),
    new DeviceError("kernel increment.run was refused by GPU: out of luck"),
  );
  assert.deepEqual(filters, []);
});
