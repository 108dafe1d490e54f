/**
 * The GPU worker with a fault triggered by a seed. The worker's name has fault and seed: `crash 666` throws an uncaught
 * error, `lose 666` loses the device.
 */
import "../../../server/engine/worker.ts";
import type { Command } from "../../../server/engine/protocol.ts";

const [fault, seed] = (globalThis as unknown as { name: string }).name.split(" ");

let device: GPUDevice | undefined;
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor): Promise<GPUDevice> {
  return device = await requestDevice.call(this, descriptor);
};

addEventListener("message", (event) => {
  const command = (event as MessageEvent<Command>).data;
  if (command.type !== "add" || command.image.seed !== Number(seed)) return;
  if (fault === "crash") throw new Error("this image crashes the worker");
  device!.destroy();
});
