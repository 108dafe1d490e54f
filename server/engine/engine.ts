/**
 * Engine interface: a batch that images join and leave between steps. `gpu_engine.ts` implements it; tests use a fake
 * without a GPU.
 *
 * @module
 */
import type { ImageJob } from "../../lib/sampling/image_job.ts";
import type { ModelFacts } from "../../lib/sampling/request.ts";
import type { Precision } from "../../lib/model/precision.ts";

export type { FrameRequest, ImageJob } from "../../lib/sampling/image_job.ts";

/** A model that is being served, as the main thread knows it. */
export interface ServedModel extends ModelFacts {
  /** Id in responses: its name and, if known, the training step. */
  readonly id: string;
  /** Directory it was loaded from. */
  readonly path: string;
  /** Training step of the checkpoint, if the directory is a run. */
  readonly step?: number;
  readonly parameters: number;
  /** SHA-256 of its weights, and of those of its guide. */
  readonly digest: string;
  readonly guideDigest?: string;
  /** Size of an image in pixels. */
  readonly height: number;
  readonly width: number;
  /** Adapter that the model runs on. */
  readonly adapter: string;
  /** Precision of the network. */
  readonly precision: Precision;
  /** Measured seconds per step of one network row; 0 before it was on the device. */
  readonly stepSeconds: number;
  /** When it was read, milliseconds since 1970. */
  readonly loadedAt: number;
}

/** An image or a frame: bytes, [height, width, 3]. */
export type Pixels = Uint8Array<ArrayBuffer>;

/** Events of an engine. An image has none after it was removed, finished or failed. */
export interface EngineListener {
  /** Called after each turn, before its frames, finished images and failures. */
  onTurn(turn: EngineTurn): void;
  /**
   * Called after all events of a turn. Images added, removed or parked by now are so before the next turn.
   */
  onTurnEnd(): void;
  onFrame(id: number, step: number, pixels: Pixels): void;
  /** The image is finished and has left the batch. */
  onImage(id: number, pixels: Pixels): void;
  /** The image failed and has left the batch; others continue. */
  onFailed(id: number, error: Error): void;
  /**
   * The engine failed, and every image in the batch is lost. It restarts by itself; called again if that fails.
   *
   * @param retryAfter whole seconds until it may be back, 1 or more
   */
  onDown(error: Error, retryAfter: number): void;
  /** The model is on the device: after the start, a restart, a load or a reload. */
  onUp(model: ServedModel): void;
  /** The model was read without being loaded: its facts are known, or new. */
  onDescribed(model: ServedModel): void;
  /** The model has left the device, to make room. */
  onOff(): void;
}

/** A turn: consecutive steps of the batch, between which no image joins or leaves. */
export interface EngineTurn {
  readonly steps: number;
  readonly seconds: number;
  /** Network rows in use, and rows of the program that ran. */
  readonly rows: number;
  readonly programRows: number;
  /** Numbers of the images that took part. */
  readonly images: readonly number[];
}

/** Draws images of one model in a running batch. Ids of images are unique among all models of a device. */
export interface Engine {
  /** Name of the model in requests. */
  readonly name: string;
  /** Network rows of the largest batch. */
  readonly rows: number;
  /** The model, on the device or not; undefined while the device is down or starting, and before it was read. */
  readonly model: ServedModel | undefined;
  /** Why the model cannot be read; undefined where it was, or has not been tried. */
  readonly fault: Error | undefined;
  /** The model is on the device, and images can be added. */
  readonly ready: boolean;
  /** Bytes of device memory that it took when it was last loaded; undefined before. */
  readonly bytes: number | undefined;
  /**
   * Adds a listener. Listeners are called in the order of registration, so those that must see an event before the
   * scheduler acts on it are added before it.
   */
  listen(listener: Partial<EngineListener>): void;
  /** Adds an image to the batch; the caller keeps the sum of `networkRows` within `rows`. It joins at the next turn. */
  add(image: ImageJob): void;
  /** Removes an image, parked or not, at the next turn; unknown ids are ignored. */
  remove(id: number): void;
  /**
   * Parks an image at the next turn: it takes no rows until it is resumed. The current turn still includes it, so it may
   * emit a frame or finish.
   */
  park(id: number): void;
  /** Puts a parked image back into the batch; the caller keeps the sum of `networkRows` within `rows`. */
  resume(id: number): void;
  /**
   * Sets the model's share of the device's time among those that have images.
   *
   * @param weight above 0, relative to that of the others
   */
  share(weight: number): void;
  /**
   * Puts the model on the device, read anew.
   *
   * @throws {OutOfMemory} where there is no room for it beside the others
   * @throws {CheckpointError | ConfigError | DeviceError} where it cannot be served
   */
  load(): Promise<ServedModel>;
  /** Takes the model off the device; it must have no images, parked ones included. */
  unload(): void;
  /**
   * Reads the model's directory again, and serves what is there from then on; images in progress finish with the old model.
   *
   * @param path default: the directory served now
   * @returns the new model
   * @throws {CheckpointError | ConfigError | DeviceError} and keeps serving the old model
   */
  reload(path?: string): Promise<ServedModel>;
}

/** A device and the models that it serves. */
export interface Device {
  /** In the order of the settings; the first is the default. */
  readonly models: readonly Engine[];
  /** Bytes of device memory that models may take; undefined before the device is open. */
  readonly memory: number | undefined;
  /** Terminates the worker immediately. */
  close(): Promise<void>;
}
