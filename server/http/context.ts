/**
 * Dependencies shared by all routes.
 *
 * @module
 */
import type { Decoder } from "../pictures/decoder.ts";
import type { Encoder } from "../pictures/encoder.ts";
import type { Device } from "../engine/engine.ts";
import type { KeyRing } from "../keys/key_ring.ts";
import type { JobRunner } from "../queue/job.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { ServerSettings } from "../settings.ts";

/** Components of a running server. */
export interface ServerContext {
  readonly settings: ServerSettings;
  readonly device: Device;
  readonly runner: JobRunner;
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Required bearer token; undefined: no authentication. */
  readonly token: string | undefined;
  /** API keys, one of which each request must carry; undefined: none, and a token if there is one. */
  readonly keys?: KeyRing;
}
