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

/** The model that is being served, as the main thread knows it. */
export interface ServedModel extends ModelFacts {
  /** Id in responses: the directory's last part and, if known, the training step. */
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
  /** Measured seconds per step of one network row. */
  readonly stepSeconds: number;
  /** When it was loaded, milliseconds since 1970. */
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
  /** The engine is ready with this model: after the start, a restart or a reload. */
  onUp(model: ServedModel): void;
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

/** Draws images in a running batch. */
export interface Engine {
  /** Network rows of the largest batch. */
  readonly rows: number;
  /** The served model; undefined while the engine is down or starting. */
  readonly model: ServedModel | undefined;
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
   * Loads a model directory and serves it from then on; images in progress finish with their model.
   *
   * @param path default: the directory served now, read again
   * @returns the new model
   * @throws {CheckpointError | ConfigError | DeviceError} and keeps serving the old model
   */
  reload(path?: string): Promise<ServedModel>;
  /** Terminates the worker immediately. */
  close(): Promise<void>;
}
