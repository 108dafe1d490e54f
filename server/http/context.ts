/**
 * Dependencies shared by all routes.
 *
 * @module
 */
import type { Encoder } from "../pictures/encoder.ts";
import type { Engine } from "../engine/engine.ts";
import type { JobRunner } from "../queue/job.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { ServerSettings } from "../settings.ts";

/** The parts of a running server. */
export interface ServerContext {
  readonly settings: ServerSettings;
  readonly engine: Engine;
  readonly runner: JobRunner;
  readonly encoder: Encoder;
  readonly metrics: Metrics;
  readonly log: Log;
  /** The bearer token that requests must carry; undefined: none is asked for. */
  readonly token: string | undefined;
}
