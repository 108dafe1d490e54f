/**
 * Progress reporting of the tasks: a bar on a terminal, plain lines elsewhere, JSON lines for programs, or nothing.
 *
 * @module
 */

// @ts-types="@types/cli-progress"
import { SingleBar } from "cli-progress";
import process from "node:process";
import { printable } from "../lib/shell.ts";
import { standardOutput } from "./output.ts";
import { counted } from "../lib/counted.ts";

/** `bar`: a progress bar; `lines`: text without control characters; `json`: one object a line; `quiet`: nothing. */
export type ReporterMode = "bar" | "lines" | "json" | "quiet";

/** Values shown with the progress, by name, e.g. `{ loss: 0.031, "images/s": 212 }`. */
export type Fields = Readonly<Record<string, string | number>>;

/** Shows the progress of one activity after another. */
export interface Reporter {
  /**
   * Starts an activity.
   *
   * @param total amount of work
   * @param label name of the activity, e.g. `epoch 1/5`
   * @param done amount already done
   */
  start(total: number, label: string, done?: number): void;
  /**
   * Updates the amount done. Cheap enough to call at every step: shown a few times a second at most.
   *
   * @param secondsLeft remaining time, if the caller knows it; by default estimated from the last half minute,
   *   without the first update
   */
  update(done: number, fields?: Fields, secondsLeft?: number): void;
  /** Prints a line of text, with control characters escaped. */
  line(text: string): void;
  /** Prints an object as a line of JSON, in `json` mode only, in which nothing else is printed. */
  event(object: unknown): void;
  /** Ends the activity, and clears the bar. */
  stop(): void;
}

/** Output of a reporter, such as `process.stdout`. */
export interface ReporterStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Options of {@linkcode createReporter}. */
export interface ReporterOptions {
  readonly mode: ReporterMode;
  /** Default standard output. */
  readonly stream?: ReporterStream;
  /** Minimum seconds between progress lines in `lines` mode; default 5. */
  readonly interval?: number;
  /** Clock in milliseconds; for tests. */
  readonly now?: () => number;
}

/** Mode for the flags and the output stream. */
export function reporterMode(
  flags: { readonly quiet?: boolean; readonly json?: boolean },
  stream: ReporterStream = process.stdout,
): ReporterMode {
  if (flags.quiet) return "quiet";
  if (flags.json) return "json";
  return stream.isTTY ? "bar" : "lines";
}

/** Creates a reporter. */
export function createReporter(options: ReporterOptions): Reporter {
  const { mode, interval = 5, now = Date.now } = options;
  const output = standardOutput();
  // A bar moves the cursor, so it needs the terminal itself.
  const { stream = mode === "bar" ? process.stdout : output } = options;
  switch (mode) {
    case "bar":
      return new BarReporter(stream, now);
    case "lines":
      return new LineReporter(stream, interval, now);
    case "json":
      return { ...SILENT, event: (object) => stream.write(printable(JSON.stringify(object)) + "\n") };
    case "quiet":
      return SILENT;
  }
}

const SILENT: Reporter = { start() {}, update() {}, line() {}, event() {}, stop() {} };

class BarReporter implements Reporter {
  private bar?: SingleBar;
  private work?: Work;
  private fields: Fields = {};

  constructor(private readonly stream: ReporterStream, private readonly now: () => number) {}

  start(total: number, label: string, done = 0): void {
    this.stop();
    this.work = new Work(total, label, done, this.now);
    this.fields = {};
    this.show();
  }

  update(done: number, fields: Fields = {}, secondsLeft?: number): void {
    if (!this.work) return;
    this.work.update(done, secondsLeft);
    this.fields = fields;
    this.bar?.update(done);
  }

  line(text: string): void {
    this.hide();
    this.stream.write(printable(text) + "\n");
    if (this.work) this.show();
  }

  event(): void {}

  stop(): void {
    this.hide();
    this.work = undefined;
  }

  private show(): void {
    const work = this.work!;
    this.bar = new SingleBar({
      stream: this.stream as NodeJS.WritableStream,
      clearOnComplete: true,
      linewrap: true, // the library truncates lines, and leaves the terminal's settings alone
      forceRedraw: true, // keeps the remaining time counting down between updates
      format: (_options, { progress }) => `${drawBar(progress)} ${printable(work.describe(this.fields))}`,
    });
    this.bar.start(work.total, work.done);
  }

  private hide(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}

class LineReporter implements Reporter {
  private work?: Work;
  private shown = 0;
  /** The end was shown: a second update at it says nothing new. */
  private ended = false;

  constructor(
    private readonly stream: ReporterStream,
    private readonly interval: number,
    private readonly now: () => number,
  ) {}

  start(total: number, label: string, done = 0): void {
    this.work = new Work(total, label, done, this.now);
    this.shown = this.now();
    this.ended = false;
  }

  update(done: number, fields: Fields = {}, secondsLeft?: number): void {
    if (!this.work) return;
    this.work.update(done, secondsLeft);
    const atEnd = done >= this.work.total;
    if (atEnd ? this.ended : this.now() - this.shown < this.interval * 1000) return;
    this.ended = atEnd;
    this.shown = this.now();
    this.line(this.work.describe(fields));
  }

  line(text: string): void {
    this.stream.write(printable(text) + "\n");
  }

  event(): void {}

  stop(): void {
    this.work = undefined;
  }
}

/** Sliding window for the speed, milliseconds: long enough to be stable, short enough to follow changes. */
const WINDOW_MS = 30_000;

/** Progress of an activity, and its remaining time at the speed of the last half minute. */
class Work {
  private readonly history: [Sample, ...Sample[]];
  /** False until the first work is done, which compiles shaders and so says nothing about the speed. */
  private begun = false;
  /** Seconds left at the last update, if the caller knew. */
  private known: number | undefined;

  constructor(
    readonly total: number,
    readonly label: string,
    public done: number,
    private readonly now: () => number,
  ) {
    this.history = [{ done, time: now() }];
  }

  update(done: number, secondsLeft?: number): void {
    this.done = done;
    this.known = secondsLeft;
    const time = this.now();
    if (!this.begun) {
      this.begun = done > this.history[0].done;
      this.history[0] = { done, time };
      return;
    }
    this.history.push({ done, time });
    // The length is above 2, so one is left.
    while (this.history.length > 2 && this.history[1]!.time < time - WINDOW_MS) this.history.shift();
  }

  describe(fields: Fields): string {
    const parts = [`${this.label}  ${this.done}/${this.total}`];
    for (const [name, value] of Object.entries(fields)) {
      parts.push(`${name} ${typeof value === "number" ? formatNumber(value) : value}`);
    }
    const left = this.secondsLeft();
    if (left !== undefined) parts.push(`${formatDuration(left)} left`);
    return parts.join("  ");
  }

  private secondsLeft(): number | undefined {
    const [first] = this.history;
    const last = this.history.at(-1)!;
    const done = last.done - first.done;
    if (this.done >= this.total || (done <= 0 && this.known === undefined)) return undefined;
    const atLast = this.known ?? (this.total - last.done) * (last.time - first.time) / done / 1000;
    return Math.max(0, atLast - (this.now() - last.time) / 1000);
  }
}

/** Amount done at a time, in milliseconds. */
interface Sample {
  readonly done: number;
  readonly time: number;
}

const BAR_WIDTH = 24;

function drawBar(progress: number): string {
  const full = Math.round(BAR_WIDTH * Math.min(1, Math.max(0, progress)));
  return `[${"=".repeat(full)}${" ".repeat(BAR_WIDTH - full)}]`;
}

/** Formats a number with four significant digits; integers are left as they are. */
export function formatNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

/** Approximate duration in words, e.g. `9 minutes`. */
export function roughly(seconds: number): string {
  if (seconds < 90) return counted(Math.round(seconds), "second");
  if (seconds < 90 * 60) return counted(Math.round(seconds / 60), "minute");
  return `${(seconds / 3600).toFixed(1)} hours`;
}

/** Seconds as `m:ss` or `h:mm:ss`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
