/** Child process of device_test.ts: opens the device and prints the outcome as JSON. */
import { openGpu } from "../../lib/gpu/open.ts";

try {
  const gpu = await openGpu();
  console.log(JSON.stringify(gpu.adapter));
} catch (error) {
  const { name, message } = error as Error;
  console.log(JSON.stringify({ name, message }));
}
