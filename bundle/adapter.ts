/**
 * Prints the WebGPU adapter that the tasks would use, for `start.sh`, and whether it lacks matrix units; with `--details` also its features and limits and
 * those of the device.
 *
 * @module
 */

import type { Gpu } from "../lib/gpu/device.ts";
import { describeEnvironment } from "../bench/environment.ts";
import { showErrorAndExit } from "../terminal/cli.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { WITHOUT_MATRICES } from "./visit_stages.ts";

try {
  const gpu = await openTaskGpu();
  const { name, software, features, matrices } = gpu.adapter;
  console.log(`adapter: ${name} (${software ? "software" : "GPU"}; ${features.join(", ") || "no features"})`);
  if (!matrices) console.log(WITHOUT_MATRICES);
  if (Deno.args.includes("--details")) console.log(JSON.stringify(await details(gpu), null, 1));
  gpu.close();
  Deno.exit(0);
} catch (error) {
  showErrorAndExit(error);
}

async function details(gpu: Gpu): Promise<unknown> {
  const adapter = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))!;
  // Properties of WebGPU objects are inherited getters, which JSON.stringify ignores.
  const all = (object: object) =>
    Object.fromEntries(
      Object.keys(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object)))
        .filter((name) => name !== "constructor")
        .map((name) => [name, (object as Record<string, unknown>)[name]]),
    );
  return {
    environment: describeEnvironment(gpu),
    info: all(adapter.info),
    features: [...adapter.features].sort(),
    adapterLimits: all(adapter.limits),
    limits: all(gpu.limits),
  };
}
