/** Run as a child by device_test.ts: opens the device and says as JSON what came of it. */
import { openGpu } from "../../lib/gpu/device.ts";

try {
  const gpu = await openGpu();
  console.log(JSON.stringify({ adapter: gpu.adapter.name }));
} catch (error) {
  const { name, message } = error as Error;
  console.log(JSON.stringify({ name, message }));
}
