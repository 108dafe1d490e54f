/**
 * Server settings, their defaults and ranges.
 *
 * @module
 */
import type { DawnToggle } from "../lib/gpu/backend.ts";
import type { Precision } from "../lib/model/precision.ts";
import type { TuneMode } from "../lib/tuning/tuning.ts";
import { MAX_GUIDANCE } from "../lib/diffusion/guidance.ts";
import { MAX_TIMESTEPS } from "../lib/diffusion/schedule.ts";
import type { SamplerName } from "../mod.ts";

/** A model to serve. */
export interface ModelSettings {
  /** Name by which requests choose it. */
  readonly name: string;
  /** Model directory, or weight file. */
  readonly path: string;
  /** Directory or weight file of a second, weaker model for autoguidance; undefined: none. */
  readonly guide?: string;
}

/** Server settings, described by `deno task serve --help`. */
export interface ServerSettings {
  /** Models, one at least; the first is the default of requests. */
  readonly models: readonly ModelSettings[];
  /** Variant of the models' weights, such as `fp16`; undefined: as for `DDPM.load`. */
  readonly variant?: string;
  /** Device memory for all models, in MiB; undefined: as the adapter suggests. */
  readonly memory?: number;
  /** Address to listen on. */
  readonly host: string;
  /** Port to listen on; 0: any free port. */
  readonly port: number;
  /** Ports to try in turn if `port` is 0, the only ones that the process has permission for; undefined: any. */
  readonly freePorts?: readonly number[];
  /** Network rows in the running batch of each model; a guided image takes two. */
  readonly maxBatch: number;
  /** Maximum number of waiting requests. */
  readonly queue: number;
  /** Timeout of a request in seconds, including time in the queue. */
  readonly timeout: number;
  /** Grace period for running requests on shutdown, in seconds. */
  readonly grace: number;
  /** Default number of steps; undefined: the library's default. */
  readonly steps?: number;
  /** Maximum steps of a request, counted in network evaluations of an image; models may allow fewer. */
  readonly maxSteps: number;
  /** Maximum work in progress of a client, in network evaluations (images x steps, doubled with guidance). */
  readonly maxWork: number;
  /** Default sampler; undefined: that of the model's scheduler configuration, or `unipc`. */
  readonly sampler?: SamplerName;
  /** Default guidance scale; undefined: the library's default. */
  readonly guidance?: number;
  /** File whose first line is the required bearer token; undefined: no authentication. */
  readonly tokenFile?: string;
  /** File of API keys with limits, one of which each request must carry; undefined: none. Not together with `tokenFile`. */
  readonly keys?: string;
  /** Origin allowed by CORS, `*` for any; undefined: same origin only. */
  readonly cors?: string;
  /** Maximum images in a request. */
  readonly maxImages: number;
  /** Maximum body of a request with pictures, in MiB. */
  readonly maxUpload: number;
  /** SQLite database of jobs, created if it does not exist; undefined: no jobs. */
  readonly jobs?: string;
  /** Maximum number of unfinished jobs. */
  readonly maxJobs: number;
  /** Maximum images in a job. */
  readonly maxJobImages: number;
  /** Hours that jobs and their images are kept after their end. */
  readonly keepJobs: number;
  /** Maximum size of the images of all jobs, and of pictures given for unfinished ones, in MiB. */
  readonly jobStorage: number;
  /** Hosts, with a port where it is not 443, that webhooks of jobs may go to; undefined: no webhooks. */
  readonly webhookHosts?: readonly string[];
  /** Addresses of trusted proxies, whose `X-Forwarded-For` is used; undefined: none. */
  readonly trustedProxy?: readonly string[];
  /** Public URL of the server, for links; undefined: the URL of the request. */
  readonly publicUrl?: string;
  /** Precision of the network; undefined: the adapter's default. */
  readonly precision?: Precision;
  /** Dawn in place of Deno's WebGPU: its binary, which the process may load, and its unsafe toggles. */
  readonly dawn?: { readonly binary: string; readonly toggles: readonly DawnToggle[] };
  /** Autotuning mode; undefined: `auto`. */
  readonly tune?: TuneMode;
}

/** Default settings. */
export const defaultSettings: Omit<ServerSettings, "models"> = {
  host: "127.0.0.1",
  port: 8000,
  maxBatch: 16,
  queue: 64,
  timeout: 120,
  grace: 25,
  maxImages: 64,
  maxSteps: 10_000, // models of noise levels have no maximum of their own, and 100,000 take a second to plan
  maxWork: 1_000_000,
  maxUpload: 4,
  maxJobs: 64,
  maxJobImages: 10_000,
  keepJobs: 24,
  jobStorage: 1024,
};

/** Allowed ranges, inclusive. */
export const settingRanges = {
  port: [0, 65_535],
  maxBatch: [1, 512],
  memory: [1, 2 ** 30],
  queue: [0, 100_000],
  timeout: [0.1, 86_400],
  grace: [0, 86_400],
  steps: [1, MAX_TIMESTEPS],
  maxSteps: [1, MAX_TIMESTEPS],
  maxWork: [1, 1e9],
  guidance: [0, MAX_GUIDANCE],
  maxImages: [1, 4096],
  maxUpload: [1, 64],
  maxJobs: [1, 10_000],
  maxJobImages: [1, 1_000_000],
  keepJobs: [0.01, 8760],
  jobStorage: [1, 1_048_576],
} as const satisfies { readonly [K in keyof ServerSettings]?: readonly [number, number] };
