import assert from "node:assert/strict";
import { attentionBackward, attentionForward, scoreRows } from "../../kernels/attention.ts";
import type { Launch } from "../../kernels/source.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { assertClose, type Tolerance } from "../support/close.ts";
import { type HostArray, testTargets } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import {
  attentionGradientReference,
  attentionReference,
  type AttentionSizes,
} from "../reference/attention.ts";
import { differences, noise } from "../reference/differences.ts";
import { FLOAT16, FLOAT32, type Storage } from "../support/storage.ts";

Deno.test("attention reference gradient matches central differences", () => {
  const s = { batch: 2, length: 3, channels: 4, heads: 2 };
  const qkv = noise(2 * 3 * 3 * 4, 1);
  const dy = noise(2 * 3 * 4, 2);
  const want = differences(() => attentionReference(s, qkv).y, qkv, dy);
  const { weights } = attentionReference(s, qkv);
  assertClose(attentionGradientReference(s, qkv, weights, dy), want, { absolute: 1e-9 }, "dqkv");
});

/** Runs both passes with everything that is written filled with NaN before. */
async function run(
  target: KernelTarget,
  storage: Storage,
  s: AttentionSizes,
  qkv: Float64Array,
  dy: Float64Array,
) {
  const { channels, length } = s;
  const host = {
    qkv: storage.array(packChannels(qkv, channels)),
    dy: storage.array(packChannels(dy, channels)),
  };
  const rows = scoreRows(s);
  const scores = () => storage.empty(rows * 4 * Math.ceil(length / 4));
  const [weights, y, dqkv] = [scores(), storage.empty(host.dy.length), storage.empty(host.qkv.length)];
  const dots = new Float32Array(rows).fill(NaN);
  const context = storage.half ? { ...target, half: true } : target;
  const launches: Launch<HostArray>[] = [
    ...attentionForward<HostArray>(context, s, { qkv: host.qkv, scores: scores(), weights, y }, "test"),
    ...attentionBackward<HostArray>(
      context,
      s,
      { qkv: host.qkv, y, weights, dy: host.dy, dqkv, dots, dscores: scores() },
      "test",
    ),
  ];
  await storage.run(launches);
  // Unpacking checks that padding is zero.
  return {
    weights: unpackChannels(weights, length),
    y: unpackChannels(y, channels),
    dqkv: unpackChannels(dqkv, channels),
  };
}

/** Positions that fill no tile, heads of sizes that are no multiple of 4, one position, one head of all channels. */
const SHAPES: readonly AttentionSizes[] = [
  { batch: 1, length: 1, channels: 4, heads: 1 },
  { batch: 2, length: 9, channels: 6, heads: 2 },
  { batch: 1, length: 35, channels: 20, heads: 1 },
  { batch: 2, length: 16, channels: 32, heads: 4 },
  { batch: 1, length: 7, channels: 7, heads: 1 },
  { batch: 2, length: 64, channels: 48, heads: 3 },
  { batch: 1, length: 256, channels: 64, heads: 2 },
];

async function check(target: KernelTarget, storage: Storage, s: AttentionSizes, tolerance: Tolerance) {
  const { batch, length, channels } = s;
  const qkv = storage.rounded(noise(3 * batch * length * channels, 1));
  const dy = storage.rounded(noise(batch * length * channels, 2));
  const got = await run(target, storage, s, qkv, dy);
  const want = attentionReference(s, qkv);
  assertClose(got.weights, want.weights, tolerance, "weights");
  assertClose(got.y, want.y, tolerance, "y");
  assertClose(got.dqkv, attentionGradientReference(s, qkv, want.weights, dy), tolerance, "dqkv");
}

for (const target of await testTargets()) {
  for (const s of SHAPES) {
    const { batch, length, channels, heads } = s;
    // Kernels for heads of other sizes are the same text in both layouts.
    if (target.path === "tile" && (channels / heads) % 4 !== 0 && length !== 9) continue;
    const name = `qkv=[${batch},${length},3x${channels}] heads=${heads} ${target.path}`;
    Deno.test(`attention forward and backward match reference: ${name}`, async () => {
      // Scores are sums of up to 64 products in [-1, 1) times 1/8, results are averages of values in [-1, 1), gradients sums of
      // averages: each rounds by a few 2^-24.
      await check(target, FLOAT32, s, { absolute: 2e-6 });
    });
  }
  Deno.test(`attention forward and backward match reference in float16: ${target.path}`, async () => {
    // Each of the four stored results in a row is rounded by 2^-11 of values up to 1; the tile path also rounds inside of sums.
    await check(target, FLOAT16, { batch: 2, length: 36, channels: 32, heads: 2 }, { absolute: 2e-3 });
  });
}

Deno.test("attention is right for scores up to 1e4, where the largest takes everything", async () => {
  const s = { batch: 1, length: 5, channels: 4, heads: 1 };
  const qkv = Float64Array.from(
    noise(3 * 5 * 4, 3),
    (v, i) => i % 12 < 8 ? Math.fround(100 * v) : Math.fround(v),
  );
  const dy = Float64Array.from(noise(5 * 4, 4), Math.fround);
  const [target] = await testTargets();
  const got = await run(target, FLOAT32, s, qkv, dy);
  const want = attentionReference(s, qkv);
  // Scores of some thousand are rounded by 2^-11, and so are the shares' exponents.
  assertClose(got.y, want.y, { absolute: 2e-3 }, "y");
  const gradient = attentionGradientReference(s, qkv, want.weights, dy);
  assertClose(got.dqkv, gradient, { absolute: 0.1, relative: 1e-2 }, "dqkv");
  assert.ok(Math.max(...want.weights) > 0.999);
});
