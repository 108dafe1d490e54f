/**
 * Summary of a run's images, before it begins.
 *
 * @module
 */
import type { ImageDataset } from "../data/dataset.ts";
import type { DataEvent } from "./events.ts";
import type { RunPlan } from "./run_plan.ts";

/** Describes a run's images. */
export function dataEvent(data: ImageDataset, plan: RunPlan): DataEvent {
  const { images, trainImages, validationImages } = plan;
  const counts = (indices: Uint32Array): number[] => {
    const perClass = data.classes.map(() => 0);
    for (const index of indices) perClass[data.labels[index]!]!++; // labels are classes
    return perClass;
  };
  const [train, validation] = [images.subarray(0, trainImages), images.subarray(trainImages)].map(counts);
  return {
    type: "data",
    name: data.name,
    ...data.source === undefined ? {} : { source: data.source },
    digest: data.digest,
    images: data.count,
    height: data.height,
    width: data.width,
    channels: data.channels,
    trainImages,
    validationImages,
    ownSplit: data.validation !== undefined,
    classes: data.classes.map((name, i) => ({ name, train: train![i]!, validation: validation![i]! })), // a count per class
    ...data.files === undefined ? {} : { files: data.files },
  };
}
