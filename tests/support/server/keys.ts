/** Key files and key rings of tests. */
import { join } from "node:path";
import { type ApiKey, createKey, type KeyLimits } from "../../../server/keys/api_key.ts";
import { keyFileText } from "../../../server/keys/key_file.ts";
import { KeyRing } from "../../../server/keys/key_ring.ts";
import { JsonLog } from "../../../server/log.ts";
import { inTemporaryDirectory } from "../train/directories.ts";
import { FakeClock } from "./fake_clock.ts";
import { type Harness, harness, type HarnessOptions } from "./harness.ts";

/** A key with its secret. */
export interface MadeKey {
  readonly key: ApiKey;
  readonly secret: string;
}

/** Makes a key. */
export function makeKey(
  name: string,
  limits: KeyLimits = {},
  facts: Partial<Pick<ApiKey, "expires" | "admin">> = {},
): MadeKey {
  return createKey({ name, limits, ...facts, now: new Date(0) });
}

/** Writes a file of keys that only its owner may read. */
export async function writeKeys(path: string, keys: readonly MadeKey[]): Promise<void> {
  await Deno.writeTextFile(path, keyFileText(keys.map(({ key }) => key)), { mode: 0o600 });
}

/** Options of a request with a key. */
export function withKey({ secret }: MadeKey, init: RequestInit = {}): RequestInit {
  return {
    ...init,
    headers: { ...init.headers as Record<string, string>, Authorization: `Bearer ${secret}` },
  };
}

/** A server with keys in a file, and the clock of their rate. */
export interface KeyedHarness extends Harness {
  readonly file: string;
  readonly ring: KeyRing;
  readonly clock: FakeClock;
}

/** Runs a test on an application with keys. */
export async function withKeys(
  keys: readonly MadeKey[],
  options: HarnessOptions,
  body: (server: KeyedHarness) => Promise<void>,
): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    await writeKeys(file, keys);
    const clock = new FakeClock();
    const lines: string[] = [];
    const ring = await KeyRing.open(file, new JsonLog((line) => lines.push(line)), {
      clock,
      now: () => 1000,
    });
    const jobs = options.settings?.jobs === undefined ? {} : { jobs: join(directory, "jobs.db") };
    const server = harness({ ...options, settings: { ...options.settings, ...jobs }, parts: { keys: ring } });
    try {
      await body({ ...server, file, ring, clock });
    } finally {
      ring.close();
      await server.context.runner.drain(0);
      server.jobs?.close();
    }
  });
}
