import assert from "node:assert/strict";
import type { EpochRecord } from "../../lib/train/events.ts";
import { describeOverfitting, epochsSinceBest } from "../../lib/train/validation_history.ts";

/** Records of epochs with these validation losses, and training losses that fall unless given. */
function historyOf(valLosses: (number | null)[], trainLosses?: number[]): EpochRecord[] {
  return valLosses.map((valLoss, i) => {
    const trainLoss = trainLosses?.[i] ?? 1 / (i + 1);
    return { epoch: i + 1, step: 10 * (i + 1), trainLoss, valLoss, seconds: 1 };
  });
}

Deno.test("the best epoch is the first with the lowest validation loss", () => {
  const cases: [(number | null)[], number][] = [
    [[], Infinity],
    [[null, null], Infinity],
    [[3], 0],
    [[3, 2, 1], 0],
    [[1, 2, 3], 2],
    [[2, 1, 1, 3], 2],
    [[null, 2, null], 1],
  ];
  for (const [losses, epochs] of cases) assert.equal(epochsSinceBest(historyOf(losses)), epochs, `${losses}`);
});

Deno.test("overfitting is told when the validation loss has risen three times and the training loss has fallen", () => {
  const message = describeOverfitting(historyOf([2, 1, 1.1, 1.2, 1.3]));
  assert.equal(
    message,
    "epoch 5: the network is overfitting: in 3 epochs the validation loss rose from 1.00000 to 1.30000, while the " +
      "training loss fell from 0.50000 to 0.20000 (`keepBest` keeps the best model, `patience` ends the run)",
  );
  for (
    const harmless of [
      historyOf([]),
      historyOf([1, 1.1, 1.2]),
      historyOf([1, 1.1, 1.2, 1.2]),
      historyOf([1, 1.2, 1.1, 1.3]),
      historyOf([1, 1.1, null, 1.3]),
      historyOf([1, 1.1, 1.2, 1.3], [1, 1.1, 1.2, 1.3]),
      historyOf([1, 1.1, 1.2, 1.3], [1, 1, 1, 1]),
    ]
  ) assert.equal(describeOverfitting(harmless), undefined);
});

Deno.test("overfitting is told once in a run", () => {
  const losses = [1, 1.1, 1.2, 1.3, 1.4, 1.2, 1.3, 1.4, 1.5];
  const told = losses.map((_, i) => describeOverfitting(historyOf(losses.slice(0, i + 1))) !== undefined);
  assert.deepEqual(told, losses.map((_, i) => i === 3));
});
