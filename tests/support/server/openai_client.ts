/** OpenAI's official client, with a server for it. */
import assert from "node:assert/strict";
import OpenAI, { type APIError } from "openai";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { decodePng } from "../read_png.ts";
import { type Harness, harness, type HarnessOptions } from "./harness.ts";

/** Extensions to OpenAI's API; the client sends unknown members too. */
export interface Extensions {
  readonly seed?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly sampler?: string;
}

export interface Served extends Harness {
  readonly client: OpenAI;
  /** Origin of the server. */
  readonly origin: string;
}

/** Runs `body` with a server on a free port and OpenAI's client for it, without retries. */
export async function serving(
  options: HarnessOptions,
  body: (served: Served) => Promise<void>,
): Promise<void> {
  const parts = harness(options);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, parts.app.fetch);
  const origin = `http://127.0.0.1:${server.addr.port}`;
  try {
    await body({ ...parts, origin, client: clientOf(origin, options.token) });
  } finally {
    await parts.engine.close();
    await parts.context.runner.drain(0);
    await server.shutdown();
  }
}

export function clientOf(origin: string, apiKey = "unused"): OpenAI {
  return new OpenAI({ baseURL: `${origin}/v1`, apiKey, maxRetries: 0 });
}

/** Engine options for steps that the test triggers. */
export const byHand = { automatic: undefined };

export async function bytesAt(url: string, init?: RequestInit): Promise<Uint8Array> {
  const response = await fetch(url, init);
  assert.equal(response.status, 200, url);
  return new Uint8Array(await response.arrayBuffer());
}

export function bytesOf(base64: string | undefined): Uint8Array {
  assert.ok(base64, "an image in base64");
  return Uint8Array.fromBase64(base64);
}

export function pixelsOf(base64: string | undefined): Uint8Array {
  return decodePng(bytesOf(base64)).rgb;
}

/** The error that a call rejects with. */
export async function failure<T extends APIError>(
  type: abstract new (...args: never[]) => T,
  call: PromiseLike<unknown>,
): Promise<T> {
  let thrown: unknown;
  await assert.rejects(async () => await call, (error) => {
    thrown = error;
    return true;
  });
  assert.ok(thrown instanceof type, `${type.name}, not ${thrown}`);
  return thrown;
}

/** Label of a class. */
export function label(name: string): number {
  return CIFAR10_CLASSES.indexOf(name);
}
