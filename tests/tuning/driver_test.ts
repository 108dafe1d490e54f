import assert from "node:assert/strict";
import { driverVersion, nvidiaVersion } from "../../lib/tuning/driver.ts";

Deno.test("NVIDIA's driver is known by its libraries, which need no permission beyond reading", () => {
  const names = ["libGL.so.1", "libGLX_nvidia.so.0", "libGLX_nvidia.so.580.159.04", "libcuda.so.580.159.04"];
  assert.equal(nvidiaVersion(names), "580.159.04");
  assert.equal(nvidiaVersion(["libGLX_nvidia.so.0", "libGLX_mesa.so.0"]), undefined);
});

Deno.test("a software adapter's driver is never NVIDIA's", () => {
  assert.doesNotMatch(driverVersion({ software: true }), /NVIDIA/);
});
