/** The recorded training step and the recorded validation batch, without a device. */
import assert from "node:assert/strict";
import { LossScaleLayout } from "../../../kernels/records/layouts.ts";
import { Graph } from "../../../lib/graph/graph.ts";
import { inputsOf, type Node, type NodeOf } from "../../../lib/graph/operations.ts";
import {
  type BatchOptions,
  recordTrainingStep,
  recordValidation,
} from "../../../lib/train/device/step_graph.ts";
import { storageType } from "../../../lib/model/precision.ts";
import { microNetwork } from "../../support/train/micro.ts";

const config = microNetwork({ numClassEmbeds: 3, dropout: 0.1 });
const options: BatchOptions = {
  config,
  batch: 4,
  microBatches: 2,
  labelDropout: 0.1,
  flip: true,
  stratified: true,
  delta: 0.5,
};
const data = { chunks: [5, 2], levels: 100 };

function recorded(
  given: Partial<BatchOptions>,
  record: typeof recordTrainingStep | typeof recordValidation,
): Graph {
  const g = new Graph(storageType(given.precision));
  record(g, { ...options, ...given }, data);
  return g;
}

function only<K extends Node["kind"]>(g: Graph, kind: K): NodeOf<K> {
  const nodes = g.nodes.filter((node) => node.kind === kind);
  assert.equal(nodes.length, 1, `${nodes.length} nodes of ${kind}`);
  return nodes[0] as unknown as NodeOf<K>;
}

const dropsOut = (node: Node) => node.kind === "groupNorm" && node.attributes.dropout !== undefined;

Deno.test("a training step draws, noises, predicts, takes the loss, and then its gradient", () => {
  const g = recorded({}, recordTrainingStep);
  const kinds = g.nodes.map(({ kind }) => kind);
  assert.deepEqual(kinds.slice(0, 2), ["drawBatch", "qSample"]);
  const loss = kinds.indexOf("trainingLoss");
  assert.deepEqual(kinds.slice(loss, loss + 3), ["trainingLoss", "recordLoss", "trainingLossBackward"]);
  assert.ok(kinds.slice(0, loss).every((kind) => !kind.endsWith("Backward")));
  assert.ok(g.nodes.slice(0, loss).some(dropsOut));

  assert.deepEqual(only(g, "drawBatch").attributes, {
    levels: 100,
    classes: 2,
    labelDropout: 0.1,
    flip: true,
    stratified: true,
  });
  assert.deepEqual(only(g, "trainingLossBackward").attributes, { gradientScale: 1 / 2, delta: 0.5 });
});

Deno.test("the loss compares the prediction with what the noised batch is to give", () => {
  const g = recorded({}, recordTrainingStep);
  const { xt, targets } = only(g, "qSample").out;
  const { in: operands } = only(g, "trainingLoss");
  assert.equal(operands.targets, targets);
  const readers = g.nodes.filter((node) => inputsOf(node).includes(xt)).map(({ kind }) => kind);
  assert.deepEqual(readers, ["conv2d", "conv2dBackward"]);
});

Deno.test("the gradient is multiplied by the loss scale in mixed precision, and by nothing in float32", () => {
  const { lossScale: none } = only(recorded({}, recordTrainingStep), "trainingLossBackward").in;
  assert.equal(none, undefined);
  const { lossScale } = only(recorded({ precision: "mixed" }, recordTrainingStep), "trainingLossBackward").in;
  assert.equal(lossScale?.type, LossScaleLayout);
});

Deno.test("augmented images are noised, and the network is conditioned on the augmentation", () => {
  const g = recorded({ augment: 0.12 }, recordTrainingStep);
  const { attributes, out: { maps, vectors } } = only(g, "drawAugmentation");
  assert.deepEqual(attributes, { probability: 0.12, height: 8, width: 8 });
  assert.equal(only(g, "qSample").in.maps, maps);
  assert.equal(only(g, "vectorEmbedding").in.vectors, vectors);
  for (const [given, record] of [[{}, recordTrainingStep], [{ augment: 0.12 }, recordValidation]] as const) {
    const kinds = recorded(given, record).nodes.map(({ kind }) => kind);
    assert.ok(!kinds.includes("drawAugmentation") && !kinds.includes("vectorEmbedding"));
  }
});

Deno.test("validation takes the loss of training without dropout, flips, label dropout or a gradient", () => {
  const g = recorded({}, recordValidation);
  const kinds = new Set(g.nodes.map(({ kind }) => kind));
  assert.ok(!g.nodes.some(dropsOut));
  assert.ok(![...kinds].some((kind) => kind.endsWith("Backward")));
  const { labelDropout, flip, stratified } = only(g, "drawBatch").attributes;
  assert.deepEqual([labelDropout, flip, stratified], [0, false, false]);
  assert.equal(g.nodes.at(-1)!.kind, "recordLoss");
});

Deno.test("a network without classes is trained without labels", () => {
  const g = recorded({ config: microNetwork({ numClassEmbeds: null }) }, recordTrainingStep);
  const { labels } = only(g, "drawBatch").out;
  assert.ok(g.nodes.every((node) => !inputsOf(node).includes(labels)));
});
