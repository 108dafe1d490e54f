/** Jobs, edits and requests of several models that do not fit the device together, some of which fail. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import type { JobAnswer } from "../../../server/jobs/answers.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import type { HarnessOptions } from "../../support/server/harness.ts";
import { closeJobs, hasEnded, type JobHarness, openJobs, withJobs } from "../../support/server/jobs.ts";
import { makePng } from "../../support/synthetic.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

const picture = new Uint8Array(await makePng(32, 32, (x) => [8 * x, 0, 99]));

const SMALL = { ...presetConfig("tiny", CIFAR10_CLASSES.length), sampleSize: 16 };

/** Models of different sizes, so that each draws other images; a third that cannot be loaded, and one that is too large. */
const NAMES = ["fake-model", "small", "broken", "large"] as const;
type Name = typeof NAMES[number];
const MODELS: HarnessOptions = {
  engine: { automatic: undefined, rows: 4, bytes: 2 },
  others: [
    {
      automatic: undefined,
      rows: 4,
      name: "small",
      bytes: 1,
      resident: false,
      model: { id: "small", height: 16, width: 16, config: SMALL },
    },
    { automatic: undefined, rows: 4, name: "broken", bytes: 1, resident: false, model: { id: "broken" } },
    {
      automatic: undefined,
      rows: 4,
      name: "large",
      bytes: 9,
      bytesKnown: false,
      resident: false,
      model: { id: "large" },
    },
  ],
  memory: 2,
};

/** Lets pending promises and timers of no time pass. */
async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve));
}

const model = fc.constantFrom(...NAMES, "fake-model" as const, "small" as const, "small" as const);
/** Random event. */
const event = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("job" as const),
      model,
      count: fc.integer({ min: 1, max: 7 }),
      steps: fc.integer({ min: 1, max: 5 }),
      edit: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("request" as const),
      model,
      steps: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant("tick" as const), steps: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant("wait" as const), seconds: fc.constantFrom(1, 5, 11, 61) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom("cancel" as const, "abort" as const), which: fc.nat(9) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("fail" as const), model }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("reload" as const), model }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("down" as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("restart" as const) }) },
);

type Event = typeof event extends fc.Arbitrary<infer E> ? E : never;

/** A job that was accepted. */
interface Sent {
  readonly id: string;
  readonly fields: {
    readonly model: Name;
    readonly count: number;
    readonly steps: number;
    readonly seed: number;
  };
  readonly edit: boolean;
}
/** A request, and its answer if it has got one. */
interface Asked {
  readonly fields: Sent["fields"];
  readonly controller: AbortController;
  readonly answer: Promise<{ readonly status: number; readonly body: Buffer } | undefined>;
}

function send({ ask }: Pick<JobHarness, "ask">, fields: Sent["fields"], edit: boolean): Promise<Response> {
  const body = new FormData();
  if (edit) body.set("image", new File([picture], "image.png"));
  const all = { ...fields, class: "cat", guidance: 1, ...edit ? { strength: 0.5 } : {} };
  if (!edit) {
    return ask("/jobs", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(all),
    });
  }
  for (const [name, value] of Object.entries(all)) body.set(name, String(value));
  return ask("/jobs", { method: "POST", body });
}

/** What a job or a request gives on a device that its model has alone. */
class Oracle {
  readonly #known = new Map<string, Promise<Buffer[]>>();

  images(fields: Sent["fields"], edit: boolean): Promise<Buffer[]> {
    const key = JSON.stringify([fields, edit]);
    let images = this.#known.get(key);
    if (!images) this.#known.set(key, images = this.#draw(fields, edit));
    return images;
  }

  async #draw(fields: Sent["fields"], edit: boolean): Promise<Buffer[]> {
    const images: Buffer[] = [];
    const alone = fields.model === "small" ? { ...MODELS.others![0], resident: true, automatic: 0 } : {};
    await withJobs({ engine: { ...alone, rows: 4 } }, async (server) => {
      const answer = await send(server, fields, edit);
      assert.equal(answer.status, 202, await answer.clone().text());
      const { id } = await answer.json();
      await server.until(id, hasEnded);
      for (let i = 0; i < fields.count; i++) images.push(await imageOf(server, id, i));
    });
    return images;
  }
}

const imageOf = async ({ ask }: Pick<JobHarness, "ask">, id: string, i: number) =>
  Buffer.from(await (await ask(`/jobs/${id}/images/${i}.png`)).bytes());

/** A server that things happen to, on a clock of its own. */
class Attacked {
  readonly #directory: string;
  readonly #clock = new FakeClock();
  readonly #jobs: Sent[] = [];
  readonly #requests: Asked[] = [];
  #failures = 0;
  #server: JobHarness;

  constructor(directory: string) {
    this.#directory = directory;
    this.#server = this.#open();
  }

  #open(): JobHarness {
    const opened = openJobs(this.#directory, { ...MODELS, schedulerClock: this.#clock });
    opened.engines[NAMES.indexOf("broken")]!.loadError = new CheckpointError("/models/broken: cut short");
    return opened;
  }

  async apply(event: Event): Promise<void> {
    const engineOf = (name: Name) => this.#server.engines[NAMES.indexOf(name)]!;
    switch (event.type) {
      case "job":
        await this.#send(event);
        break;
      case "request":
        this.#ask(event);
        break;
      case "tick":
        this.#tick(event.steps);
        break;
      case "wait":
        this.#clock.advance(1000 * event.seconds);
        break;
      case "cancel": {
        const job = this.#jobs[event.which];
        if (job) assert.equal((await this.#server.ask(`/jobs/${job.id}`, { method: "DELETE" })).status, 200);
        break;
      }
      case "abort":
        this.#requests[event.which]?.controller.abort();
        break;
      case "fail": {
        const engine = engineOf(event.model);
        // A third failure of the same image fails its job.
        if (engine.batch.length > 0 && this.#failures++ < 2) engine.fail();
        break;
      }
      case "reload": {
        const engine = engineOf(event.model);
        const loadedAt = this.#clock.now();
        if (engine.ready) engine.up({ loadedAt });
        else if (engine.model) engine.describe({ loadedAt });
        break;
      }
      case "down":
        if (!this.#server.engine.model) this.#goUp();
        else for (const engine of this.#server.engines) engine.down();
        break;
      case "restart":
        await this.close();
        this.#server = this.#open();
        break;
    }
    await turns();
    const taken = this.#server.engines.reduce((sum, { ready, bytes = 0 }) => sum + (ready ? bytes : 0), 0);
    assert.ok(taken <= MODELS.memory!, `models on the device take ${taken} bytes`);
  }

  /** Lets everything end. */
  async finish(): Promise<void> {
    this.#goUp();
    let left: JobAnswer[] = [];
    for (let round = 0; round < 150; round++) {
      this.#tick(10);
      await turns();
      this.#clock.advance(20_000);
      await turns();
      const all = await Promise.all(this.#jobs.map(({ id }) => this.#server.status(id)));
      left = all.filter((job) => !hasEnded(job));
      if (left.length === 0) break;
    }
    assert.deepEqual(left, [], "every job ends");
    this.#clock.advance(1_000_000); // past the deadlines of requests
    await turns();
  }

  async check(oracle: Oracle): Promise<void> {
    for (const job of this.#jobs) {
      const { status, problem, images } = await this.#server.status(job.id);
      const { fields, edit } = job;
      if (fields.model === "broken" || fields.model === "large") {
        assert.ok(status === "cancelled" || problem?.code === "model_failed", JSON.stringify(problem));
        continue;
      }
      assert.ok(
        status === "cancelled" || status === "done" && images.done === fields.count,
        `${problem?.detail}`,
      );
      const expected = await oracle.images(fields, edit);
      for (const [i, png] of expected.entries()) {
        const answer = await this.#server.ask(`/jobs/${job.id}/images/${i}.png`);
        const image = Buffer.from(await answer.bytes());
        const isLeftOut: boolean = status === "cancelled" && answer.status === 404;
        assert.ok(isLeftOut || image.equals(png), `image ${i} of ${JSON.stringify(fields)}`);
      }
    }
    for (const { fields, answer } of this.#requests) {
      const ended = await answer;
      if (ended?.status !== 200) continue;
      const [png] = await oracle.images(fields, false);
      assert.ok(ended.body.equals(png!), JSON.stringify(fields));
    }
    const { draining: _, ...counts } = this.#server.context.runner.state;
    assert.ok(Object.values(counts).every((count) => count === 0), JSON.stringify(counts));
  }

  /** Ends the server as its process would. */
  async close(): Promise<void> {
    const closing = closeJobs(this.#server);
    this.#clock.advance(0); // ends what still runs
    await closing;
  }

  async #send({ model, count, steps, edit }: Event & { readonly type: "job" }): Promise<void> {
    const seed = 10 * (this.#jobs.length % 5);
    const fields = { model, count, steps: edit ? 2 * steps : steps, seed };
    const answer = await send(this.#server, fields, edit);
    const text = await answer.text();
    assert.ok([202, 429, 503].includes(answer.status), text);
    if (answer.status === 202) this.#jobs.push({ id: JSON.parse(text).id, fields, edit });
  }

  #ask({ model, steps }: Event & { readonly type: "request" }): void {
    const seed = this.#requests.length % 3;
    const controller = new AbortController();
    const { signal } = controller;
    const query = `format=png&class=cat&guidance=1&steps=${steps}&seed=${seed}&model=${model}`;
    const answer = this.#server.ask(`/generate?${query}`, { signal }).then(
      async (answer) => ({ status: answer.status, body: Buffer.from(await answer.bytes()) }),
      () => undefined,
    );
    this.#requests.push({ fields: { model, count: 1, steps, seed }, controller, answer });
  }

  #tick(steps: number): void {
    for (let i = 0; i < steps; i++) for (const engine of this.#server.engines) engine.tick();
  }

  /** Restarts the engine, if it is down: the first model is on the device, the others are known. */
  #goUp(): void {
    const [first, ...others] = this.#server.engines;
    if (first!.model) return;
    first!.up();
    for (const other of others) other.describe();
  }
}

Deno.test("in any order of events jobs and requests of several models end, with the images of a calm server", async () => {
  const oracle = new Oracle();
  const property = fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 40 }), async (events) => {
    await inTemporaryDirectory(async (directory) => {
      const attacked = new Attacked(directory);
      for (const event of events) await attacked.apply(event);
      await attacked.finish();
      await attacked.check(oracle);
      await attacked.close();
    });
  });
  // Shrinking would take minutes.
  await fc.assert(property, { numRuns: 15, endOnFailure: true });
});
