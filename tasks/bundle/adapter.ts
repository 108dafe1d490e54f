/**
 * Prints the WebGPU adapter that the tasks would use, for the start script of a bundle.
 *
 * @module
 */

import { showErrorAndExit } from "../cli.ts";
import { openTaskGpu } from "../gpu.ts";

try {
  const gpu = await openTaskGpu();
  const { name, software, features } = gpu.adapter;
  console.log(`adapter: ${name} (${software ? "software" : "GPU"}; ${features.join(", ") || "no features"})`);
  gpu.close();
  Deno.exit(0);
} catch (error) {
  showErrorAndExit(error);
}
