/**
 * A server of its own for a measurement.
 *
 * @module
 */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { DenoiseError } from "../lib/errors.ts";
import type { ServerSettings } from "../server/settings.ts";
import { startServer } from "../tasks/terminal/server_process.ts";

/** A server under way. */
export interface MeasuredServer {
  /** Where it listens, without a slash at the end. */
  readonly url: string;
  /** Name of the model, and how many classes it knows. */
  readonly model: string;
  readonly classes: number;
  /** Ends it, and waits until it has ended. */
  stop(): Promise<void>;
}

/** Milliseconds after which a server that was asked to end is ended. */
const PATIENCE_MS = 10_000;

/** How much of what a server said is kept for the case that it ends. */
const KEPT = 2000;

/**
 * Starts a server on a free port and waits until it is ready to draw.
 *
 * @throws {DenoiseError} with what the server said when it does not start
 */
export async function startMeasuredServer(settings: ServerSettings): Promise<MeasuredServer> {
  const child = startServer(settings, { stdout: "piped", stderr: "piped" });
  const ready = Promise.withResolvers<ReadyLine>();
  let said = "";
  // Both are read to the end also when nobody needs them any more: a full pipe would stop the server.
  const reading = Promise.all([
    readLines(child.stdout, (line) => {
      const facts = readReadyLine(line);
      if (facts) ready.resolve(facts);
    }),
    readLines(child.stderr, (line) => said = `${said}${line}\n`.slice(-KEPT)),
  ]);
  const ended = child.status.then(async ({ code }) => {
    await reading;
    throw new DenoiseError(`the server ended with status ${code}: ${said.trim() || "it said nothing"}`);
  });
  ended.catch(() => {}); // after the start it is stop() that waits for the end
  const { url, model, classes } = await Promise.race([ready.promise, ended]);
  return {
    url,
    model,
    classes,
    async stop() {
      const force = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
      try {
        child.kill("SIGTERM");
      } catch {
        // it has ended by itself
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

/** The log line that says that a server is ready. */
type ReadyLine = Pick<MeasuredServer, "url" | "model" | "classes">;

function readReadyLine(line: string): ReadyLine | undefined {
  try {
    const fields = JSON.parse(line);
    return fields.message === "ready" ? fields : undefined;
  } catch {
    return undefined; // a line for people
  }
}
