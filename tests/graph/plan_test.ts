import fc from "fast-check";
import assert from "node:assert/strict";
import type { Launch } from "../../kernels/source.ts";
import { lowerContext, planLaunches } from "../../lib/graph/compile.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { planMemory } from "../../lib/graph/plan.ts";
import { ELEMENT_BYTES, type FloatType, type Role, type Tensor } from "../../lib/graph/tensor.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { unet, unetInputs } from "../../lib/model/unet.ts";

let nextId = 0;

function tensor(elements: number, role: Role = "activation", type: FloatType = "float32"): Tensor {
  const id = nextId++;
  const bytes = ELEMENT_BYTES[type] * elements;
  return { id, shape: [1, 1, 1, elements], role, elements, type, bytes, name: `t${id}`, trainable: false };
}

/** A launch of which only the buffers matter. */
function launchOf(...tensors: Tensor[]): Launch<Tensor> {
  return { buffers: Object.fromEntries(tensors.map((t, i) => [`b${i}`, t])) } as unknown as Launch<Tensor>;
}

/** First and last launch that touches each activation. */
function lifetimes(
  launches: readonly Launch<Tensor>[],
  keep: readonly Tensor[],
): Map<Tensor, [number, number]> {
  const spans = new Map<Tensor, [number, number]>();
  launches.forEach(({ buffers }, i) => {
    for (const t of Object.values(buffers)) {
      if (t.role !== "activation") continue;
      spans.set(t, [spans.get(t)?.[0] ?? i, i]);
    }
  });
  for (const t of keep) spans.get(t)![1] = Infinity;
  return spans;
}

/** Bytes of the activations alive at the busiest launch: no plan can do with less. */
function peakBytes(launches: readonly Launch<Tensor>[], keep: readonly Tensor[]): number {
  const spans = [...lifetimes(launches, keep)];
  const alive = launches.map((_, i) =>
    spans.reduce((sum, [t, [first, last]]) => sum + (first <= i && i <= last ? t.bytes : 0), 0)
  );
  return Math.max(...alive);
}

/** Random programs: each launch reads some tensors that were written before and writes one or two new ones. */
const programs = fc.array(
  fc.record({
    sizes: fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 2 }),
    reads: fc.array(fc.nat(), { maxLength: 4 }),
    keep: fc.boolean(),
    role: fc.constantFrom<Role>("activation", "activation", "activation", "input", "parameter", "gradient"),
    type: fc.constantFrom<FloatType>("float32", "float16"),
  }),
  { minLength: 1, maxLength: 40 },
).map((steps) => {
  const written: Tensor[] = [];
  const keep: Tensor[] = [];
  const launches = steps.map(({ sizes, reads, keep: kept, role, type }) => {
    const sources = written.length > 0 ? reads.map((k) => written[k % written.length]) : [];
    const results = sizes.map((size, i) => tensor(size, i === 0 ? role : "activation", type));
    written.push(...results);
    if (kept) keep.push(results.at(-1)!);
    return launchOf(...sources, ...results);
  });
  return { launches, keep: keep.filter(({ role }) => role === "activation") };
});

Deno.test("tensors that live at the same time never share a buffer, whatever the launches", () => {
  fc.assert(
    fc.property(programs, ({ launches, keep }) => {
      const { slots, buffers } = planMemory(launches, keep);
      const spans = [...lifetimes(launches, keep)];
      for (const [i, [a, [firstA, lastA]]] of spans.entries()) {
        assert.ok(buffers[slots.get(a)!] >= a.bytes, "the buffer is too small");
        for (const [b, [firstB, lastB]] of spans.slice(i + 1)) {
          const together = firstA <= lastB && firstB <= lastA;
          assert.ok(!together || slots.get(a) !== slots.get(b), `${a.name} and ${b.name} share a buffer`);
        }
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("every activation gets a place, nothing else does, and no byte lies unused", () => {
  fc.assert(
    fc.property(programs, ({ launches, keep }) => {
      const { slots, buffers, bytes } = planMemory(launches, keep);
      const activations = [...lifetimes(launches, keep).keys()];
      assert.deepEqual(new Set(slots.keys()), new Set(activations));
      assert.equal(bytes, buffers.reduce((sum, size) => sum + size, 0));
      buffers.forEach((size, slot) => {
        const largest = activations.filter((t) => slots.get(t) === slot).map((t) => t.bytes);
        assert.equal(size, Math.max(...largest));
      });
      assert.ok(bytes >= peakBytes(launches, keep));
    }),
    { seed: 2, numRuns: 200 },
  );
});

Deno.test("existing buffers are reused where a tensor fits, and none is allocated needlessly", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 12 });
  fc.assert(
    fc.property(programs, sizes, ({ launches, keep }, reusedElements) => {
      const reused = reusedElements.sort((a, b) => b - a).map((elements) => 4 * elements);
      const { slots, buffers } = planMemory(launches, keep, reused);
      const spans = [...lifetimes(launches, keep)];
      for (const [i, [a, [firstA, lastA]]] of spans.entries()) {
        const slot = slots.get(a)!;
        assert.ok([...reused, ...buffers][slot] >= a.bytes, "the buffer is too small");
        for (const [b, [firstB, lastB]] of spans.slice(i + 1)) {
          const together = firstA <= lastB && firstB <= lastA;
          assert.ok(!together || slot !== slots.get(b), `${a.name} and ${b.name} share a buffer`);
        }
      }
      const alone = planMemory(launches, keep);
      assert.deepEqual(planMemory(launches, keep, alone.buffers), { ...alone, buffers: [], bytes: 0 });
    }),
    { seed: 3, numRuns: 300 },
  );
});

Deno.test("a chain of any length takes two buffers", () => {
  const chain = Array.from({ length: 50 }, () => tensor(100));
  const launches = chain.slice(1).map((next, i) => launchOf(chain[i], next));
  const plan = planMemory(launches);
  assert.deepEqual(plan.buffers, [400, 400]);
  assert.equal(plan.bytes, 800);
});

Deno.test("a result that nobody reads frees its buffer at once", () => {
  const [a, b, c] = [tensor(10), tensor(10), tensor(10)];
  const dead = tensor(10);
  const { slots } = planMemory([launchOf(a), launchOf(a, b, dead), launchOf(b, c)]);
  assert.ok(slots.get(c) === slots.get(dead) || slots.get(c) === slots.get(a));
  assert.equal(new Set(slots.values()).size, 3);
});

Deno.test("kept tensors are never overwritten", () => {
  const [kept, ...rest] = Array.from({ length: 10 }, () => tensor(10));
  const launches = [launchOf(kept), ...rest.map((t) => launchOf(t))];
  const { slots } = planMemory(launches, [kept]);
  assert.ok(rest.every((t) => slots.get(t) !== slots.get(kept)));
  assert.equal(new Set(slots.values()).size, 2);
});

Deno.test("large tensors share with large ones, whatever their order", () => {
  const [small, large] = [tensor(10), tensor(100)];
  const [later, last] = [tensor(90), tensor(9)];
  const { slots, bytes } = planMemory([launchOf(small), launchOf(large, small), launchOf(later, last)]);
  assert.equal(slots.get(later), slots.get(large));
  assert.equal(slots.get(last), slots.get(small));
  assert.equal(bytes, 440);
});

for (const preset of ["tiny", "small"]) {
  Deno.test(`the activations of a training step of ${preset} take at most a quarter more than its peak`, () => {
    const g = new Graph();
    const config = presetConfig(preset, 10, { dropout: 0.1 });
    const output = unet(g, config, unetInputs(g, config, 2, true));
    recordBackward(g, output, { seed: g.input("seed", output.shape) });
    const context = lowerContext(g, { path: "tile", subgroupSize: 32 });
    const lowered = g.nodes.map((node) => lower(context, node));
    const { sampleSums } = context;
    const keep = [output, sampleSums.all!]; // GroupNorm's gradients are sums over samples
    const { combined, plan: { bytes, slots } } = planLaunches(g, lowered, context, keep);
    assert.ok(combined.launches.flat().length < lowered.flat().length, "no launch was dropped or combined");
    const launches = sampleSums.planned(combined.planned());
    const all = [...slots.keys()].reduce((sum, { bytes }) => sum + bytes, 0);
    const peak = peakBytes(launches, keep);
    assert.ok(bytes < 1.25 * peak, `${bytes} bytes planned, ${peak} at once`);
    assert.ok(bytes < 0.25 * all, `${bytes} bytes planned, ${all} without reuse`);
  });
}
