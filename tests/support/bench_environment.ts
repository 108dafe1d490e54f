/** Environment of made-up bench reports. */
import type { Environment } from "../../bench/environment.ts";

/** A GPU and a machine that do not exist. */
export const ENVIRONMENT: Environment = {
  adapter: {
    backend: "deno",
    name: "Fake 9000",
    vendor: "1",
    software: false,
    features: [],
    subgroupSize: 32,
  },
  driver: "Fake 1.2",
  deno: "2.9.6",
  system: "linux x86_64",
  threads: 8,
  load: 0.5,
  date: "2026-01-02T03:04:05.000Z",
};
