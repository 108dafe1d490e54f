/**
 * The course of a run's validation loss: best epoch, early stopping, overfitting.
 *
 * @module
 */
import type { EpochRecord } from "./events.ts";

/** Rises of the validation loss in a row that count as overfitting, if the training loss falls meanwhile. */
const OVERFITTING_EPOCHS = 3;

/** Epochs since the one with the lowest validation loss, the first of equals; Infinity if none has a finite one. */
export function epochsSinceBest(history: readonly EpochRecord[]): number {
  const losses = history.map(({ valLoss }) => valLoss ?? Infinity);
  const best = Math.min(...losses);
  return best === Infinity ? Infinity : losses.length - 1 - losses.indexOf(best);
}

/** Warning at the epoch at which overfitting shows for the first time in a run; otherwise undefined. */
export function describeOverfitting(history: readonly EpochRecord[]): string | undefined {
  if (!overfits(history)) return undefined;
  const before = history.slice(0, -1);
  if (before.some((_, i) => overfits(before.slice(0, i + 1)))) return undefined;
  const [first, last] = [history.at(-1 - OVERFITTING_EPOCHS)!, history.at(-1)!];
  const course = (from: number, to: number) => `from ${from.toFixed(5)} to ${to.toFixed(5)}`;
  return `epoch ${last.epoch}: the network is overfitting: in ${OVERFITTING_EPOCHS} epochs the validation loss rose ` +
    `${course(first.valLoss!, last.valLoss!)}, while the training loss fell ${
      course(first.trainLoss, last.trainLoss)
    } ` +
    "(`keepBest` keeps the best model, `patience` ends the run)";
}

/** True if the validation loss rose in each of the last epochs, and the training loss fell over all of them. */
function overfits(history: readonly EpochRecord[]): boolean {
  const window = history.slice(-1 - OVERFITTING_EPOCHS);
  if (window.length <= OVERFITTING_EPOCHS) return false;
  if (window.some(({ valLoss }) => valLoss === null)) return false;
  const rises = window.slice(1).every(({ valLoss }, i) => valLoss! > window[i]!.valLoss!);
  return rises && window.at(-1)!.trainLoss < window[0]!.trainLoss;
}
