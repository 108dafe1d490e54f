/**
 * Draws the images of stored jobs, in the background of all requests, and stores each once it is encoded.
 *
 * Image i depends on its seed alone, so what a process leaves undrawn, the next one draws: nothing but finished images is
 * stored. All images of a job come from one model.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { ConfigError } from "../../lib/errors.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Engine, Pixels, ServedModel } from "../engine/engine.ts";
import type { ServerContext } from "../http/context.ts";
import { encodePicture } from "../http/encode.ts";
import { ProblemError } from "../http/problem.ts";
import { cannotBeLoaded, JobError } from "../queue/job.ts";
import { planImageOf } from "./fields.ts";
import { GivenPictures } from "./given_pictures.ts";
import type { JobStorage } from "./storage.ts";
import type { JobProblem, StoredJob } from "./store.ts";

/** Seconds that the encoder has for an image, waiting included. */
const ENCODE_SECONDS = 600;
/** Attempts at an image whose failures may pass, such as those of the encoder's worker. */
const ATTEMPTS = 3;
/** Seconds between them. */
const ATTEMPT_PAUSE = 5;
/** Times that an image may be lost with the engine, which other requests or the driver may have ended. */
const LOSSES = 5;
/** Seconds for which jobs wait for their model where that cannot be loaded: somebody may mend it. */
const LOAD_SECONDS = 600;
/** Number of images of which the speed is known. */
const RECENT = 20;

/** Parts of the server that draw. */
export type DrawingContext = Pick<
  ServerContext,
  "device" | "runner" | "encoder" | "decoder" | "metrics" | "log" | "settings"
>;

/** Called with each change of a job, and the image that was added. */
export type JobListener = (job: StoredJob, image?: number) => void;

/** An unfinished job. */
interface Active {
  job: StoredJob;
  /** The model that is to draw it; undefined where it is not served any more. */
  readonly engine: Engine | undefined;
  /** Positions of images that are neither stored nor being drawn, the next one last. */
  readonly missing: number[];
  readonly drawing: Set<number>;
  /** Failed attempts of images. */
  readonly failures: Map<number, number>;
  /** Times that its images, not stored since, were in a batch when the engine failed. */
  readonly losses: Map<number, number>;
  /** Clock's time in milliseconds at which it was begun or resumed. */
  readonly since: number;
  readonly cancel: AbortController;
  /** The model that the stored images are known to come from; undefined before the first image, and in a new process. */
  drawnBy: ServedModel | undefined;
  /** It has failed, which may not be stored yet. */
  failed: boolean;
}

/** An image to draw. */
interface NextImage {
  readonly active: Active;
  readonly position: number;
  readonly engine: Engine;
  readonly model: ServedModel;
}

/** Draws unfinished jobs. */
export class JobDrawing {
  readonly #context: DrawingContext;
  readonly #storage: JobStorage;
  readonly #pictures: GivenPictures;
  readonly #onChange: JobListener;
  readonly #clock: Clock;
  readonly #active = new Map<string, Active>();
  readonly #finishes: number[] = [];
  /** Images that are being drawn, by model. */
  readonly #drawing = new Map<Engine, number>();
  /** Models whose images wait after a failure, each with the function that calls the end of its pause off. */
  readonly #pauses = new Map<Engine, () => void>();
  /** Clock's times in milliseconds since which models cannot be loaded. */
  readonly #unloadableSince = new Map<Engine, number>();
  #closed = false;

  constructor(
    context: DrawingContext,
    storage: JobStorage,
    onChange: JobListener,
    clock: Clock = systemClock,
  ) {
    this.#context = context;
    this.#storage = storage;
    this.#pictures = new GivenPictures(context, storage.store);
    this.#onChange = onChange;
    this.#clock = clock;
    for (const engine of context.device.models) {
      const onUp = () => {
        this.#unloadableSince.delete(engine);
        this.#fill();
      };
      engine.listen({ onUp, onDescribed: () => this.#fill() });
    }
  }

  /** Unfinished jobs. */
  get jobs(): StoredJob[] {
    return [...this.#active.values()].map(({ job }) => job);
  }

  /** Whole seconds after which a job may have ended. */
  get secondsUntilEnd(): number {
    const left = Math.min(...this.jobs.map(({ count, done }) => count - done));
    const [first = 0] = this.#finishes;
    const images = this.#finishes.length - 1;
    if (images < 1) return 60;
    const each = (this.#clock.now() - first) / 1000 / images;
    return Math.min(3600, Math.max(1, Math.ceil(left * each)));
  }

  /** Begins or resumes a job. */
  add(job: StoredJob): void {
    const stored = new Set(job.done === 0 ? [] : this.#storage.store.positions(job));
    const missing: number[] = [];
    for (let i = job.count - 1; i >= 0; i--) if (!stored.has(i)) missing.push(i);
    const active: Active = {
      job,
      engine: engineOf(job, this.#context.device.models),
      missing,
      drawing: new Set(),
      failures: new Map(),
      losses: new Map(),
      since: this.#clock.now(),
      cancel: new AbortController(),
      drawnBy: undefined,
      failed: false,
    };
    this.#active.set(job.id, active);
    if (!active.engine) {
      const names = this.#context.device.models.map(({ name }) => name).join(", ");
      const detail = `the model ${job.request.model} is not served any more; served are ${names}`;
      this.#fail(active, { code: "model_gone", detail });
    } else if (!active.engine.model) {
      this.#waitForModel(active, active.engine);
    }
    this.#fill();
  }

  /** Drops a job that has ended. */
  remove({ id }: Pick<StoredJob, "id">): void {
    const active = this.#active.get(id);
    this.#active.delete(id);
    this.#pictures.forget({ id });
    active?.cancel.abort();
    this.#fill();
  }

  /** Stops drawing; what is being drawn is dropped. */
  close(): void {
    this.#closed = true;
    for (const callOff of this.#pauses.values()) callOff();
    for (const { cancel } of this.#active.values()) cancel.abort();
  }

  #fill(): void {
    const { runner } = this.#context;
    while (!this.#closed && !runner.state.draining) {
      const next = this.#next();
      if (!next) return;
      this.#draw(next);
    }
  }

  /** More of a model's images may be drawn: one more than fits, so that no row waits for the next image. */
  #hasRoom(engine: Engine): boolean {
    return (this.#drawing.get(engine) ?? 0) <= engine.rows;
  }

  /**
   * The next image: of the client with the fewest that are being drawn, its oldest job. Jobs that lost images with the engine
   * are drawn one at a time until those are stored, so that the one that ends it is found, and takes no other with it.
   */
  #next(): NextImage | undefined {
    const suspect = this.#suspect();
    const shares = new Map<string, number>();
    for (const { job: { client }, drawing } of this.#active.values()) {
      shares.set(client, (shares.get(client) ?? 0) + drawing.size);
    }
    const order = [...this.#active.values()].sort((a, b) =>
      shares.get(a.job.client)! - shares.get(b.job.client)! || a.job.number - b.job.number
    );
    for (const active of order) {
      const { engine } = active;
      const model = engine?.model;
      if (!engine || !model || this.#pauses.has(engine) || !this.#hasRoom(engine)) continue;
      if (active.losses.size > 0 && active !== suspect) continue;
      const position = this.#nextOf(active, model);
      if (position !== undefined) return { active, position, engine, model };
    }
    return undefined;
  }

  /** Of the jobs that lost images with the engine, the one to draw now: that has lost its images the least often. */
  #suspect(): Active | undefined {
    const suspects = [...this.#active.values()].filter(({ losses, failed, engine }) =>
      losses.size > 0 && !failed && engine?.model && !this.#pauses.has(engine)
    );
    const most = ({ losses }: Active) => Math.max(...losses.values());
    return suspects.find(({ drawing }) => drawing.size > 0) ??
      suspects.sort((a, b) => most(a) - most(b) || a.job.number - b.job.number)[0];
  }

  /** Position of a job's next image or, if its stored images may come from another model, of one of those. */
  #nextOf(active: Active, model: ServedModel): number | undefined {
    if (active.failed) return undefined;
    if (active.drawnBy !== model) {
      if (active.drawing.size > 0) return undefined;
      if (active.job.done > 0) return this.#storage.store.positions(active.job)[0];
      active.drawnBy = model;
    }
    return active.missing.pop();
  }

  async #draw(next: NextImage): Promise<void> {
    const { active, position, engine } = next;
    let isInBatch = false;
    const count = (change: number) => this.#drawing.set(engine, (this.#drawing.get(engine) ?? 0) + change);
    count(1);
    active.drawing.add(position);
    try {
      await this.#drawImage(next, () => isInBatch = true);
    } catch (error) {
      const isLost = isInBatch && error instanceof JobError && error.code === "engine_down";
      if (isLost) this.#lose(next);
      this.#recover(next, error);
    } finally {
      count(-1);
      active.drawing.delete(position);
      this.#fill();
    }
  }

  async #drawImage(
    { active, position, engine, model }: NextImage,
    onStarted: () => void,
  ): Promise<void> {
    const { runner, settings } = this.#context;
    const { request, client } = active.job;
    const { signal } = active.cancel;
    const pictures = await this.#pictures.of(active.job, model, signal);
    const draw = planImageOf(request, position, model, settings, pictures);
    const { images: [pixels], model: by } = await runner.run({
      client,
      model: engine.name,
      draw,
      signal,
      background: true,
      onProgress: ({ type }) => {
        if (type !== "started") return;
        onStarted();
        this.#started(active, model);
      },
    });
    active.losses.delete(position);
    if (by !== model) {
      if (active.drawnBy === model) this.#putBack(active, position);
      return; // the next attempt is by the new model
    }
    const digest = digestOf(pixels!); // one image
    if (active.drawnBy !== model) {
      this.#compare(active, position, { digest, model });
      return;
    }
    const png = await encodePicture(this.#context, {
      draw,
      model,
      format: "png",
      scale: request.scale,
      images: [pixels!],
      asker: { client, signal, seconds: ENCODE_SECONDS },
    });
    await this.#store(active, position, png, digest);
  }

  /** Compares an image with the stored one: all images of a job come from one model. */
  #compare(
    active: Active,
    position: number,
    { digest, model }: { readonly digest: Uint8Array; readonly model: ServedModel },
  ): void {
    const stored = this.#storage.store.imageDigest(active.job, position);
    if (stored && timingSafeEqual(stored, digest)) {
      active.drawnBy = model;
      return;
    }
    const { done, model: before } = active.job;
    const detail = `the model or the adapter is another than the one that drew the first ${done} images ` +
      `(${before} then, ${model.id} now); send the rest as a new job`;
    this.#fail(active, { code: "model_changed", detail });
  }

  /** The first image has joined the batch. */
  #started({ job, drawnBy }: Active, model: ServedModel): void {
    const { id } = model;
    // An image for comparison may come from another model than the job's.
    if (drawnBy !== model || job.state === "running" && job.model === id) return;
    this.#change(job, { state: "running", started: job.started ?? this.#storage.now(), model: id });
  }

  async #store(active: Active, position: number, png: Uint8Array, digest: Uint8Array): Promise<void> {
    const { job } = active;
    const { store } = this.#storage;
    await this.#storage.write(active.cancel.signal, () => {
      if (!this.#storage.hasRoom(png.length)) {
        const detail = `the images of all jobs may take ${this.#context.settings.jobStorage} MiB`;
        this.#fail(active, { code: "storage_full", detail });
        return;
      }
      const changed = store.addImage(job, position, { png, digest, now: this.#storage.now() });
      this.#finishes.push(this.#clock.now());
      if (this.#finishes.length > RECENT) this.#finishes.shift();
      this.#changed(changed, position);
    });
  }

  /** Handles a failed attempt at an image: it is drawn again, or its job fails. */
  #recover({ active, position, engine }: NextImage, error: unknown): void {
    if (active.cancel.signal.aborted || active.failed) return;
    if (error instanceof ProblemError || error instanceof ConfigError) {
      const detail = `the model cannot draw this job any more: ${error.message}`;
      this.#fail(active, { code: "model_changed", detail });
      return;
    }
    if (error instanceof JobError && error.code === "model_failed") {
      this.#countUnloadable(engine, error.message);
      if (active.failed) return;
    } else if (!(error instanceof JobError && error.status === 503)) {
      const failures = (active.failures.get(position) ?? 0) + 1;
      active.failures.set(position, failures);
      if (failures === ATTEMPTS) {
        this.#context.log.error("job failed", { job: active.job.id, image: position }, error);
        const detail =
          `image ${position} could not be drawn in ${ATTEMPTS} attempts; the server's log says why`;
        this.#fail(active, { code: "failed", detail });
        return;
      }
    }
    this.#putBack(active, position);
    this.#pause(engine, error instanceof JobError ? error.retryAfter ?? ATTEMPT_PAUSE : ATTEMPT_PAUSE);
  }

  /** Counts the loss of an image with the engine, which fails its job in the end. */
  #lose({ active, position }: NextImage): void {
    const losses = (active.losses.get(position) ?? 0) + 1;
    active.losses.set(position, losses);
    if (losses < LOSSES || active.failed || active.cancel.signal.aborted) return;
    this.#context.log.error("job failed", { job: active.job.id, image: position, losses });
    const detail = `the engine failed ${LOSSES} times while it drew image ${position} with the model ` +
      `${active.engine!.name}; the server's log says why`;
    this.#fail(active, { code: "failed", detail });
  }

  /** Fails the jobs of a model that have waited long enough for it. */
  #countUnloadable(engine: Engine, message: string): void {
    const now = this.#clock.now();
    const since = this.#unloadableSince.get(engine) ?? now;
    this.#unloadableSince.set(engine, since);
    for (const active of this.#active.values()) {
      const waited = now - Math.max(since, active.since);
      if (active.engine === engine && waited >= 1000 * LOAD_SECONDS) this.#failUnloadable(active, message);
    }
  }

  #failUnloadable(active: Active, message: string): void {
    if (active.failed) return;
    const detail = `${message} (tried for ${LOAD_SECONDS / 60} minutes)`;
    this.#fail(active, { code: "model_failed", detail });
  }

  /** Fails a job whose model could not be read all the time since the server's start, which no attempt at an image would tell. */
  #waitForModel(active: Active, engine: Engine): void {
    const callOff = this.#clock.after(1000 * LOAD_SECONDS, () => {
      if (engine.model) return;
      if (engine.fault) this.#failUnloadable(active, cannotBeLoaded(engine));
      else this.#waitForModel(active, engine); // the engine is down
    });
    active.cancel.signal.addEventListener("abort", callOff, { once: true });
  }

  #putBack({ missing, drawnBy }: Active, position: number): void {
    if (!drawnBy) return; // it was drawn for comparison
    missing.push(position);
    missing.sort((a, b) => b - a);
  }

  #fail(active: Active, problem: JobProblem): void {
    active.failed = true;
    this.#change(active.job, { state: "failed", problem, ended: this.#storage.now() });
  }

  /** Stores a change as soon as the disk allows. */
  #change(job: StoredJob, changes: Partial<StoredJob>): void {
    const { signal } = this.#active.get(job.id)!.cancel;
    const { store } = this.#storage;
    this.#storage.write(signal, () => {
      store.update(job, changes);
      this.#changed(store.get(job.id)!);
    });
  }

  #changed(job: StoredJob, image?: number): void {
    const active = this.#active.get(job.id);
    if (active) active.job = job;
    if (job.ended !== undefined) this.remove(job);
    this.#onChange(job, image);
  }

  /** Draws none of a model's images for a while. */
  #pause(engine: Engine, seconds: number): void {
    if (this.#closed || this.#pauses.has(engine)) return;
    const end = () => {
      this.#pauses.delete(engine);
      this.#fill();
    };
    this.#pauses.set(engine, this.#clock.after(1000 * seconds, end));
  }
}

/**
 * The model of a job: the one that its request has chosen or, where it has chosen none, the one that it was accepted with if
 * that is still served, else the default.
 */
function engineOf({ request, model: id }: StoredJob, engines: readonly Engine[]): Engine | undefined {
  if (request.model !== undefined) return engines.find(({ name }) => name === request.model);
  return engines.find(({ name }) => id === name || id.startsWith(`${name}-step-`)) ?? engines[0];
}

function digestOf(pixels: Pixels): Uint8Array {
  return createHash("sha256").update(pixels).digest();
}
