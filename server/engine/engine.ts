/**
 * Engine interface: a batch that images join and leave between steps. `gpu_engine.ts` implements it; tests use a fake
 * without a GPU.
 *
 * @module
 */
import { networkRows } from "../../lib/sampling/slot_batch.ts";
import type { ImageJob } from "../../lib/sampling/image_job.ts";
import type { ModelFacts } from "../../lib/sampling/request.ts";
import type { Precision } from "../../lib/model/precision.ts";

export type { FrameRequest, ImageJob } from "../../lib/sampling/image_job.ts";

/** The model that is being served, as the main thread knows it. */
export interface ServedModel extends ModelFacts {
  /** Name in answers and in `/models`: the directory's last part, and the training step where it is known. */
  readonly id: string;
  /** Directory it was loaded from. */
  readonly path: string;
  /** Optimizer step of the checkpoint, where the directory is a run. */
  readonly step?: number;
  readonly parameters: number;
  /** Size of an image in pixels. */
  readonly height: number;
  readonly width: number;
  /** Adapter that the model runs on. */
  readonly adapter: string;
  /** How its activations lie in memory. */
  readonly precision: Precision;
  /** Seconds that a step of one network row took when it was tried out. */
  readonly stepSeconds: number;
  /** When it was loaded, milliseconds since 1970. */
  readonly loadedAt: number;
}

/** Network rows that an image takes in the batch: two with guidance. */
export function rowsOf(image: Pick<ImageJob, "guidance">): 1 | 2 {
  return networkRows(image.guidance);
}

/** An image or a frame: bytes, [height, width, 3]. */
export type Pixels = Uint8Array<ArrayBuffer>;

/** Events of an engine. There are none for an image after it was removed, has ended or failed. */
export interface EngineListener {
  /** Images were in the batch for one or more steps. What comes of it is told next: frames, images, failures. */
  onTurn(turn: EngineTurn): void;
  /**
   * All of a turn is told: what joins the batch, leaves it or is parked now does so before the next turn.
   */
  onTurnEnd(): void;
  onFrame(id: number, step: number, pixels: Pixels): void;
  /** The image is finished and has left the batch. */
  onImage(id: number, pixels: Pixels): void;
  /** The image could not be drawn and has left the batch; others go on. */
  onFailed(id: number, error: Error): void;
  /**
   * Every image in the batch is lost; the engine starts again by itself. Told again when that fails.
   *
   * @param retryAfter whole seconds until it may be back, 1 or more
   */
  onDown(error: Error, retryAfter: number): void;
  /** The engine is ready: at its start, after going down, and after a reload with what is served from now on. */
  onUp(model: ServedModel): void;
}

/** Consecutive steps of the batch between two chances to join and leave. */
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
  /** What is served; undefined while it is down or starting. */
  readonly model: ServedModel | undefined;
  /**
   * Adds a listener, which stays. Of one event those who came first are told first, so a scheduler that must not act
   * before another knows comes after it.
   */
  listen(listener: Partial<EngineListener>): void;
  /** Adds an image to the batch; the caller keeps the sum of `rowsOf` within `rows`. It joins at the next turn. */
  add(image: ImageJob): void;
  /** Takes an image out of the batch, parked or not, at the next turn; unknown numbers are ignored. */
  remove(id: number): void;
  /**
   * Sets an image aside, at the next turn: it takes no rows until it is resumed. A turn under way still counts for it,
   * so it may show a frame or be finished all the same.
   */
  park(id: number): void;
  /** Puts a parked image back into the batch; the caller keeps the sum of `rowsOf` within `rows`. */
  resume(id: number): void;
  /**
   * Reads a model directory and serves it from then on; images under way are finished with the model they began with.
   *
   * @param path default: the directory served now, read again
   * @returns what is served now
   * @throws {CheckpointError | ConfigError | DeviceError} and keeps serving the old one
   */
  reload(path?: string): Promise<ServedModel>;
  /** Ends the worker at once. */
  close(): Promise<void>;
}
