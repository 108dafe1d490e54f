/** A scheduler with an engine and a clock that tests hold in their hands. */
import assert from "node:assert/strict";
import { type GenerateOptions, planDraw } from "../../../lib/sampling/request.ts";
import type { ServedModel } from "../../../server/engine/engine.ts";
import { type Job, JobError, type JobResult } from "../../../server/queue/job.ts";
import { Scheduler, type SchedulerSettings } from "../../../server/queue/scheduler.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { FakeEngine, type FakeEngineOptions, fakeModel } from "../../support/server/fake_engine.ts";

export interface Options extends GenerateOptions {
  readonly client?: string;
  /** The guide of the model that the job is planned for. */
  readonly guide?: string;
  /** Other differences of that model from {@linkcode fakeModel}. */
  readonly model?: Partial<ServedModel>;
  readonly signal?: AbortSignal;
  /** Until its deadline; default: the scheduler's timeout. */
  readonly seconds?: number;
  readonly background?: boolean;
  readonly frames?: Job["frames"];
  readonly onProgress?: Job["onProgress"];
}

/** A job of DDIM without guidance, unless it is asked for. */
export function job(
  { client = "a", guide, model, signal, seconds, background, frames, onProgress, ...options }: Options = {},
): Job {
  const draw = planDraw(
    { class: 3, sampler: "ddim", steps: 2, guidance: 1, ...options },
    fakeModel({ guide, ...model }),
  );
  const present = signal ?? new AbortController().signal;
  return { client, draw, frames, onProgress, seconds, background, signal: present };
}

/** A job's end as it stands: its result, its error, or neither yet. */
export interface Outcome {
  result?: JobResult;
  error?: JobError;
}

export interface BenchOptions
  extends Partial<SchedulerSettings>, Pick<FakeEngineOptions, "rows" | "stepSeconds"> {}

export class Bench {
  readonly engine: FakeEngine;
  readonly clock = new FakeClock();
  readonly scheduler: Scheduler;

  constructor({ rows = 4, queue = 8, timeout = 60, maxWork = 1e9, ...engine }: BenchOptions = {}) {
    this.engine = new FakeEngine({ rows, ...engine });
    this.scheduler = new Scheduler(this.engine.device, { queue, timeout, maxWork }, this.clock);
  }

  /** Runs a job and looks on. */
  run(options: Options = {}): Outcome {
    const outcome: Outcome = {};
    this.scheduler.run(job(options)).then(
      (result) => outcome.result = result,
      (error) => outcome.error = error,
    );
    return outcome;
  }

  /** Seeds of the images in the batch, longest there first. */
  get seeds(): number[] {
    return this.engine.batch.map(({ seed }) => seed);
  }

  assertEmpty(): void {
    const { draining: _, ...state } = this.scheduler.state;
    assert.deepEqual(state, { waiting: 0, running: 0, images: 0, rows: 0, parked: 0, background: 0 });
    assert.equal(this.clock.pending, 0, "timers are called off");
    assert.deepEqual(this.engine.batch, []);
  }
}

/** Lets promises settle. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

export function assertRefused(outcome: Outcome, status: number, code: string, message: RegExp): void {
  assert.ok(outcome.error instanceof JobError, `${outcome.error ?? "no error"}`);
  assert.deepEqual([outcome.error.status, outcome.error.code], [status, code]);
  assert.match(outcome.error.message, message);
}
