/**
 * Server settings, their defaults and ranges.
 *
 * @module
 */
import type { Precision } from "../lib/model/precision.ts";
import type { TuneMode } from "../lib/tuning/tuning.ts";
import { MAX_TIMESTEPS } from "../lib/diffusion/schedule.ts";
import type { SamplerName } from "../mod.ts";

/** Settings of a server; `deno task serve --help` says what each means. */
export interface ServerSettings {
  /** Model directory. */
  readonly model: string;
  /** Address to listen on. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Ports to try in turn where `port` is 0, the only ones that the process may listen on; undefined: any. */
  readonly freePorts?: readonly number[];
  /** Network rows in the running batch; a guided image takes two. */
  readonly maxBatch: number;
  /** Requests that may wait beside those being drawn. */
  readonly queue: number;
  /** Seconds that a request may take, waiting included. */
  readonly timeout: number;
  /** Seconds that requests under way have when the server is to end. */
  readonly grace: number;
  /** Default number of steps; undefined: the library's. */
  readonly steps?: number;
  /** Most steps that a request may ask for; undefined: the model's. */
  readonly maxSteps?: number;
  /** Network evaluations (images x steps, twice with guidance) that a client may have under way. */
  readonly maxWork: number;
  /** Default sampler. */
  readonly sampler: SamplerName;
  /** Default guidance scale; undefined: the library's. */
  readonly guidance?: number;
  /** File whose first line is the bearer token that requests must carry; undefined: none is asked for. */
  readonly tokenFile?: string;
  /** Origin that browsers may call from, `*` for any; undefined: none but its own. */
  readonly cors?: string;
  /** Images in one request, at most. */
  readonly maxImages: number;
  /** Addresses of one's own proxies, whose `X-Forwarded-For` is believed; undefined: nobody's. */
  readonly trustedProxy?: readonly string[];
  /** Where clients reach the server, for links to it; undefined: where the request that gets the link went. */
  readonly publicUrl?: string;
  /** How activations lie in memory; `float16` needs an adapter with `shader-f16`. */
  readonly precision: Precision;
  /** When kernels are tried out; undefined: `auto`. */
  readonly tune?: TuneMode;
}

/** Defaults. */
export const defaultSettings: Omit<ServerSettings, "model"> = {
  host: "127.0.0.1",
  port: 8000,
  maxBatch: 16,
  queue: 64,
  timeout: 120,
  grace: 25,
  sampler: "ddim",
  maxImages: 64,
  maxWork: 1_000_000,
  precision: "float32",
};

/** Allowed ranges, inclusive. */
export const settingRanges = {
  port: [0, 65_535],
  maxBatch: [1, 512],
  queue: [0, 100_000],
  timeout: [0.1, 86_400],
  grace: [0, 86_400],
  steps: [1, MAX_TIMESTEPS],
  maxSteps: [1, MAX_TIMESTEPS],
  maxWork: [1, 1e9],
  guidance: [0, 100],
  maxImages: [1, 4096],
} as const satisfies { readonly [K in keyof ServerSettings]?: readonly [number, number] };
