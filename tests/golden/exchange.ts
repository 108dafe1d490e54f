/**
 * Writes what a model's network makes of formula inputs on the device, for exchange.py to compare:
 *
 * ```sh
 * deno run -A tests/golden/exchange.ts MODEL forward.json
 * ```
 *
 * @module
 */
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { imageChannels, imageSize, unetConfigToJson } from "../../lib/model/config.ts";
import { forwardPass } from "../../lib/model/network.ts";
import { readModel } from "../../lib/sampling/read_model.ts";
import { readFloats, testGpu } from "../support/gpu.ts";
import { goldenScaled } from "./formula.ts";
import { fromDevice, toDevice } from "./tensors.ts";

const [directory, out] = Deno.args;
const gpu = await testGpu();
const { config, flat, schedule } = await readModel(directory, "float32");
const batch = 3;
const shape = [batch, imageChannels(config), ...imageSize(config)];
const last = schedule.timeAxis ? schedule.timeAxis.count - 1 : 3;
const inputs = {
  shape,
  timesteps: [last, Math.round(last / 3), 1],
  labels: config.numClassEmbeds === null ? null : [0, 1, config.numClassEmbeds - 1],
};

const scope = new ResourceScope(gpu, "exchange");
const weights = scope.buffer(flat.byteLength, "weights");
const forward = scope.own(forwardPass(gpu, config, batch, weights.buffer, "exchange"));
const program = scope.own(await buildProgram(gpu, forward.launches));
const { queue } = gpu.device;
const image = (name: string) => {
  const data = goldenScaled("exchange", name, shape.reduce((a, b) => a * b), 2);
  return toDevice(data, shape) as Float32Array<ArrayBuffer>;
};
queue.writeBuffer(weights.buffer, 0, flat);
queue.writeBuffer(forward.inputs.x.buffer, 0, image("x"));
if (forward.inputs.estimate) queue.writeBuffer(forward.inputs.estimate.buffer, 0, image("estimate"));
queue.writeBuffer(forward.inputs.timesteps.buffer, 0, new Float32Array(inputs.timesteps));
if (inputs.labels) queue.writeBuffer(forward.inputs.labels!.buffer, 0, new Uint32Array(inputs.labels));
program.run();
const [, , ...size] = shape;
const output = fromDevice(await readFloats(gpu, forward.prediction), [batch, config.outChannels, ...size]);
await Deno.writeTextFile(
  out,
  JSON.stringify({ config: unetConfigToJson(config), inputs, output: [...output] }),
);
scope.destroy();
gpu.close();
