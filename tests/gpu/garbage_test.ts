import assert from "node:assert/strict";
import { collectEncoders } from "../../lib/gpu/dawn/garbage.ts";

/** Creates encoders, each some milliseconds after the other; collections take a time of their own. */
function collections(count: number, { between, duration }: { between: number; duration: number }): number[] {
  let time = 0;
  const at: number[] = [];
  const device = { createCommandEncoder: () => ({}) as GPUCommandEncoder };
  collectEncoders(device, {
    collect: () => {
      at.push(time);
      time += duration;
    },
    now: () => time,
  });
  for (let i = 0; i < count; i++) {
    device.createCommandEncoder();
    time += between;
  }
  return at;
}

Deno.test("garbage is collected after 512 encoders", () => {
  assert.equal(collections(511, { between: 10, duration: 15 }).length, 0);
  assert.equal(collections(10 * 512, { between: 10, duration: 15 }).length, 10);
});

Deno.test("collections that take long are rarer: they take 1 % of the time", () => {
  const [first, second] = collections(100_000, { between: 10, duration: 1000 });
  assert.equal(first, 5110);
  assert.equal(second, first + 1000 + 100_000);
});

Deno.test("encoders are what the device makes of their descriptors", () => {
  const made: unknown[] = [];
  const device = {
    createCommandEncoder(this: unknown, descriptor?: GPUCommandEncoderDescriptor) {
      assert.equal(this, device);
      made.push(descriptor);
      return { label: descriptor!.label } as GPUCommandEncoder;
    },
  };
  collectEncoders(device);
  assert.equal(device.createCommandEncoder({ label: "a" }).label, "a");
  assert.deepEqual(made, [{ label: "a" }]);
});
