import assert from "node:assert/strict";
import {
  DrawLayout,
  LogRecordLayout,
  ScheduleRowLayout,
  StepStateLayout,
} from "../../kernels/records/layouts.ts";
import { ShapeError } from "../../lib/errors.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { conv2d } from "../../lib/graph/ops.ts";
import type { ElementType, Shape, Tensor } from "../../lib/graph/tensor.ts";
import { drawBatch, qSample, recordLoss, trainingLoss } from "../../lib/graph/training_ops.ts";

const BATCH = 2;
const ATTRIBUTES = { levels: 10, classes: 3, labelDropout: 0, flip: false };

const vector = (g: Graph, name: string, length: number, type: ElementType): Tensor =>
  g.input(name, [1, 1, 1, length], type);

const stepState = (g: Graph) => vector(g, "stepState", 1, StepStateLayout);

function lossOperands(g: Graph, prediction: Tensor, targets: Shape = prediction.shape, draws = BATCH) {
  return {
    stepState: stepState(g),
    draws: vector(g, "draws", draws, DrawLayout),
    schedule: vector(g, "schedule", 10, ScheduleRowLayout),
    prediction,
    targets: g.input("targets", targets, "float32"),
  };
}

/** A convolution of 3 channels, so that there is a parameter to differentiate. */
function predict(g: Graph): Tensor {
  const init = { kind: "zeros" } as const;
  const weight = g.parameter("weight", "conv", [3, 3, 3, 3], init);
  const bias = g.parameter("bias", "vector", [3], init);
  return conv2d(g, g.input("x", [BATCH, 4, 4, 3]), { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
}

const faults: [name: string, message: string, record: (g: Graph) => void][] = [
  [
    "drawBatch with labels that are words",
    "x_0, t (algorithm 1, lines 2 and 3): imageLabels is uint32, expected uint8",
    (g) =>
      drawBatch(
        g,
        {
          stepState: stepState(g),
          order: vector(g, "order", 7, "uint32"),
          imageLabels: vector(g, "labels", 7, "uint32"),
          schedule: vector(g, "schedule", 10, ScheduleRowLayout),
        },
        BATCH,
        ATTRIBUTES,
      ),
  ],
  [
    "qSample with a part of an image",
    "x_t (algorithm 1, line 4): chunk has 50 bytes, not a multiple of 48, the size of an image",
    (g) =>
      qSample(g, {
        stepState: stepState(g),
        images: [vector(g, "chunk", 50, "uint8")],
        draws: vector(g, "draws", BATCH, DrawLayout),
        schedule: vector(g, "schedule", 10, ScheduleRowLayout),
      }, [4, 4, 3]),
  ],
  [
    "qSample with a schedule of numbers",
    "x_t (algorithm 1, line 4): schedule is float32, expected ScheduleRow",
    (g) =>
      qSample(g, {
        stepState: stepState(g),
        images: [vector(g, "chunk", 48, "uint8")],
        draws: vector(g, "draws", BATCH, DrawLayout),
        schedule: vector(g, "schedule", 50, "float32"),
      }, [4, 4, 3]),
  ],
  [
    "trainingLoss of targets of another size",
    "loss (algorithm 1, line 5): targets has shape [2,4,4,1], expected [2,4,4,3]",
    (g) =>
      trainingLoss(g, lossOperands(g, g.input("prediction", [2, 4, 4, 3]), [2, 4, 4, 1]), {
        gradientScale: 1,
      }),
  ],
  [
    "trainingLoss of another batch than was drawn",
    "loss (algorithm 1, line 5): draws has shape [1,1,1,3], expected [1,1,1,2]",
    (g) =>
      trainingLoss(g, lossOperands(g, g.input("prediction", [2, 4, 4, 3]), [2, 4, 4, 3], 3), {
        gradientScale: 1,
      }),
  ],
  [
    "recordLoss into something that is no log",
    "loss record: log is float32, expected LogRecord",
    (g) =>
      recordLoss(
        g,
        { stepState: stepState(g), loss: vector(g, "loss", BATCH, "float32") },
        vector(g, "log", 5, "float32"),
      ),
  ],
];

for (const [name, message, record] of faults) {
  Deno.test(`refused, naming operand and what was expected: ${name}`, () => {
    const g = new Graph();
    assert.throws(() => record(g), new ShapeError(message));
    assert.equal(g.nodes.length, 0);
  });
}

Deno.test("bytes, words and records are packed, floats padded to whole vec4s", () => {
  const g = new Graph();
  const bytes = (type: ElementType, length: number) => vector(g, `${g.inputs.size}`, length, type).bytes;
  assert.deepEqual(
    [bytes("uint8", 5), bytes("uint32", 5), bytes("float32", 5), bytes("float16", 5), bytes(DrawLayout, 5)],
    [8, 20, 32, 16, 5 * DrawLayout.bytes],
  );
  assert.equal(vector(g, "bytes", 5, "uint8").elements, 5);
});

Deno.test("a backward pass starts from a loss without a seed", () => {
  const g = new Graph();
  const loss = trainingLoss(g, lossOperands(g, predict(g)), { gradientScale: 1 });
  recordLoss(
    g,
    { stepState: vector(g, "state", 1, StepStateLayout), loss },
    vector(g, "log", 1, LogRecordLayout),
  );
  const { ofParameter } = recordBackward(g, loss);
  assert.equal(ofParameter.size, 2);
  assert.deepEqual(g.nodes.map(({ kind }) => kind), [
    "conv2d",
    "trainingLoss",
    "recordLoss",
    "trainingLossBackward",
    "conv2dBackward",
  ]);
});

Deno.test("a backward pass from a tensor that is not a loss is refused by name unless it has a seed", () => {
  const g = new Graph();
  const prediction = predict(g);
  assert.throws(() => recordBackward(g, prediction), {
    message: "conv2d is not a loss; its gradient needs a seed",
  });
  assert.equal(g.nodes.length, 1);
});
