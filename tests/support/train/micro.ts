/** Networks, data sets and runs that are small enough to train in a test. */
import { createHash } from "node:crypto";
import type { ImageDataset } from "../../../lib/data/dataset.ts";
import { imageDataset } from "../../../lib/data/image_dataset.ts";
import { type UNetConfig, unetConfig, type UNetOptions } from "../../../lib/model/config.ts";
import { type LoadedCheckpoint, loadLatestCheckpoint } from "../../../lib/files/checkpoint.ts";
import type { EndEvent, TrainEvent } from "../../../lib/train/events.ts";
import { train, type TrainOptions } from "../../../lib/train/trainer.ts";
import { testGpu } from "../gpu.ts";

/** Two levels of 8 and 16 channels, attention in the middle; a step takes milliseconds. */
export function microNetwork(overrides: Partial<UNetOptions> = {}): UNetConfig {
  return unetConfig({
    sampleSize: 8,
    blockOutChannels: [8, 16],
    downBlockTypes: ["DownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "UpBlock2D"],
    layersPerBlock: 1,
    normNumGroups: 4,
    ...overrides,
  });
}

/**
 * Images that are easy to distinguish: image `i` has one flat colour on its left or upper half and another on the rest.
 */
export function patternImages(count: number, classes = 2, side = 8): ImageDataset {
  const images = new Uint8Array(count * side * side * 3);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  for (let i = 0; i < images.length; i++) {
    const image = Math.floor(i / (side * side * 3));
    const pixel = Math.floor(i / 3) % (side * side);
    const along = image % 2 === 0 ? pixel % side : Math.floor(pixel / side);
    const half = along < side / 2 ? 0 : 1;
    const bit = (image * 37 >> (i % 3 + 3 * half)) & 1;
    images[i] = bit === 1 ? 230 : 25;
  }
  const names = Array.from(
    { length: classes },
    (_, i) => ["first", "second", "third", "fourth"][i] ?? `class${i}`,
  );
  return imageDataset({ name: "patterns", images, labels, classes: names, height: side, width: side });
}

/** Settings of a quick run: no grids, small batch, no tuning. A resumed run has its settings already. */
export function microOptions(options: Partial<TrainOptions> = {}): TrainOptions {
  const settings = { model: microNetwork(), batch: 8, lr: 2e-3, warmup: 4, ema: 0.9, seed: 5 };
  return {
    data: patternImages(40),
    sampleEvery: 0,
    tune: "off",
    ...(options.resume ? {} : settings),
    ...options,
  };
}

/** Trains on the file's device to the end, or until `stop` returns true, which ends the run as a signal does. */
export async function run(
  options: Partial<TrainOptions>,
  stop: (event: TrainEvent) => boolean = () => false,
): Promise<TrainEvent[]> {
  const controller = new AbortController();
  const events: TrainEvent[] = [];
  const all = microOptions({ gpu: await testGpu(), signal: controller.signal, ...options });
  for await (const event of train(all)) {
    events.push(event);
    if (stop(event)) controller.abort();
  }
  return events;
}

/** The events of one type. */
export function ofType<T extends TrainEvent["type"]>(
  events: readonly TrainEvent[],
  type: T,
): Extract<TrainEvent, { type: T }>[] {
  return events.filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type);
}

/** The last event. */
export function endOf(events: readonly TrainEvent[]): EndEvent {
  return events.at(-1) as EndEvent;
}

/** State of a run that must be the same after a resume; excludes elapsed time and sample grids. */
export async function stateOf(directory: string): Promise<unknown> {
  return comparable(await loadLatestCheckpoint(directory));
}

/** See {@linkcode stateOf}. */
export function comparable(
  { path: _path, ema, trainerTensors, trainer, ...rest }: LoadedCheckpoint,
): unknown {
  const { seconds: _seconds, epochSeconds: _epochSeconds, grids: _, history, settings, ...progress } =
    trainer as {
      seconds: number;
      epochSeconds: number;
      grids: object;
      history: { seconds: number }[];
      settings: object;
    };
  return {
    ...rest,
    ...progress,
    settings: { ...settings, epochs: null, steps: null, checkpointActivations: null },
    history: history.map(({ seconds: _, ...record }) => record),
    ema: digests(ema),
    tensors: digests(trainerTensors),
  };
}

/** A digest of each tensor's bits: assertions on digests are fast, while diffs of large arrays take minutes. */
export function digests(tensors: ReadonlyMap<string, { data: ArrayBufferView }>): Record<string, string> {
  return Object.fromEntries([...tensors].map(([name, { data }]) => [name, digest(data)]));
}

/** See {@linkcode digests}. */
export function digest({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  return createHash("sha256").update(new Uint8Array(buffer, byteOffset, byteLength)).digest("hex");
}
