/**
 * Server processes for load tests.
 *
 * @module
 */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { DenoiseError } from "../lib/errors.ts";
import { describeEnd } from "../lib/process.ts";
import type { ServerSettings } from "../server/settings.ts";
import { startServer } from "../terminal/server_process.ts";

/** A running server. */
export interface MeasuredServer {
  /** Address without a trailing slash. */
  readonly url: string;
  /** Name of the model. */
  readonly model: string;
  /** Number of classes; 0 for an unconditional model. */
  readonly classes: number;
  /** Stops the process, and waits for its exit. */
  stop(): Promise<void>;
}

/** Time between SIGTERM and SIGKILL, milliseconds. */
const KILL_AFTER_MS = 10_000;

/** Characters of standard error kept for the error message. */
const STDERR_CHARACTERS = 2000;

/**
 * Starts a server on a free port and waits until it is ready.
 *
 * @throws {DenoiseError} with the server's standard error if it does not start
 */
export async function startMeasuredServer(settings: ServerSettings): Promise<MeasuredServer> {
  const child = startServer(settings, { stdout: "piped", stderr: "piped" });
  const ready = Promise.withResolvers<ReadyLine>();
  let errors = "";
  // Both streams are drained to the end, because a full pipe would block the server.
  const reading = Promise.all([
    readLines(child.stdout, (line) => {
      const facts = readReadyLine(line);
      if (facts) ready.resolve(facts);
    }),
    readLines(child.stderr, (line) => errors = `${errors}${line}\n`.slice(-STDERR_CHARACTERS)),
  ]);
  const ended = child.status.then(async (status) => {
    await reading;
    throw new DenoiseError(`the server ${describeEnd(status, errors.trim())}`);
  });
  ended.catch(() => {}); // after startup, only stop() waits for the exit
  const { url, model, classes } = await Promise.race([ready.promise, ended]);
  return {
    url,
    model,
    classes,
    async stop() {
      const force = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
      try {
        child.kill("SIGTERM");
      } catch {
        // already exited
      }
      await ended.catch(() => {});
      clearTimeout(force);
    },
  };
}

async function readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (line: string) => void,
): Promise<void> {
  for await (const line of createInterface({ input: Readable.from(stream) })) take(line);
}

/** Fields of the log line of a server that is ready. */
type ReadyLine = Pick<MeasuredServer, "url" | "model" | "classes">;

function readReadyLine(line: string): ReadyLine | undefined {
  try {
    const fields = JSON.parse(line);
    return fields.message === "ready" ? fields : undefined;
  } catch {
    return undefined; // not a line of JSON
  }
}
