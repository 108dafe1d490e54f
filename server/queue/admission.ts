/**
 * Admission control for the server, the batch and the queue.
 *
 * If the batch were shared by all requests, an overloaded server would finish none of them in time, so few requests for
 * several images are in progress at once.
 *
 * @module
 */
import { ConfigError } from "../../lib/errors.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServerSettings } from "../settings.ts";
import type { Accepted, Estimate } from "./estimate.ts";
import { type Job, JobError } from "./job.ts";
import { type Ticket, workOf } from "./ticket.ts";

/** Maximum number of partly drawn requests, whatever their sizes. */
const OPEN_AT_ONCE = 2;

/** The part of a ticket that admission depends on. */
export type Candidate =
  & Pick<Ticket, "waiting" | "halfWay" | "workLeft">
  & { readonly job: { readonly client: string; readonly draw: { readonly labels: readonly unknown[] } } };

/**
 * Decides if a request's next image may join the batch. Partly drawn requests and those for a single image may. Others may
 * if few requests are partly drawn, none of them the same client's, or if the request is small compared to all of these.
 * So each request admitted early is at most half as large as the others, which bounds unfinished work.
 *
 * @param open partly drawn requests
 */
export function mayOpen(ticket: Candidate, open: readonly Candidate[]): boolean {
  const { client, draw } = ticket.job;
  if (ticket.halfWay || draw.labels.length === 1) return true;
  if (open.length < OPEN_AT_ONCE && open.every(({ job }) => job.client !== client)) return true;
  return open.every(({ workLeft }) => 2 * ticket.workLeft <= workLeft);
}

/**
 * Chooses the request to refuse when the queue is full: the newest of the client with the most waiting requests.
 *
 * @param waiting in order of arrival, the newcomer last; not empty
 */
export function toDisplace<T extends Candidate>(waiting: readonly T[]): T {
  const newcomer = waiting.at(-1);
  if (!newcomer) throw new RangeError("no request waits");
  const counts = new Map<string, number>();
  for (const { job: { client } } of waiting) counts.set(client, (counts.get(client) ?? 0) + 1);
  let most = newcomer.job.client;
  for (const [client, count] of counts) if (count > counts.get(most)!) most = client;
  return waiting.findLast(({ job }) => job.client === most)!;
}

/** Limits that a request must fit. */
export interface AdmissionLimits extends Pick<ServerSettings, "timeout" | "maxWork"> {
  /** Network rows of the batch. */
  readonly rows: number;
  readonly estimate: Pick<Estimate, "leastSeconds" | "secondsLate" | "secondsUntilIdle">;
}

/** Error of a job that misses its deadline. */
export function pastDeadline(timeout: number): JobError {
  return new JobError(504, "timeout", `not finished within ${timeout} seconds`);
}

/**
 * Refuses a request for which the accepted ones leave no room.
 *
 * @param accepted requests for all models, whose work counts for their clients
 * @param ahead those of them for the same model
 * @throws {JobError} 429 for too much work of its client, 503 for what would miss its deadline, 504 past it
 */
export function checkLoad(
  { client, draw, seconds = Infinity }: Pick<Job, "client" | "draw" | "seconds">,
  accepted: readonly Accepted[],
  { timeout, maxWork, estimate }: Omit<AdmissionLimits, "rows">,
  ahead: readonly Accepted[] = accepted,
): void {
  if (seconds <= 0) throw pastDeadline(timeout);
  const work = workOf(draw);
  const own = accepted.filter(({ job }) => job.client === client);
  if (own.reduce((sum, { workLeft }) => sum + workLeft, work) > maxWork) {
    const detail = `a client may have ${maxWork} network evaluations in progress; its other requests ` +
      `leave too few for this one's ${work}`;
    throw new JobError(429, "too_much_work", detail, estimate.secondsUntilIdle(own));
  }
  const left = Math.min(seconds, timeout);
  if (estimate.secondsLate(ahead, client, work, left) > 0) {
    const rounded = Number(left.toFixed(1));
    const within = rounded < timeout ? `the ${rounded} seconds left of its ${timeout}` : `${timeout} seconds`;
    const detail = `overloaded: this request would not finish within ${within}`;
    // Sent again, it has the whole timeout
    const late = estimate.secondsLate(ahead, client, work, timeout);
    throw new JobError(503, "overloaded", detail, Math.max(1, late));
  }
}

/**
 * Refuses a request that even an idle server could not serve.
 *
 * @throws {ConfigError} with the largest request that fits
 */
export function checkFit(draw: DrawPlan, { rows, timeout, maxWork, estimate }: AdmissionLimits): void {
  checkRows(draw, rows);
  requireFit(draw, (smaller) => workOf(smaller) <= maxWork, `${maxWork} network evaluations a client`);
  const inTime = (smaller: DrawPlan) => estimate.leastSeconds(smaller) <= timeout;
  requireFit(draw, inTime, `what this server can draw in ${timeout} seconds`);
}

/** @throws {ConfigError} for an image of more rows than the batch has */
export function checkRows({ imageRows, labels, guidance }: DrawPlan, rows: number): void {
  if (imageRows <= rows) return;
  const takes = `the image takes ${imageRows} rows of the batch, which has ${rows} on this server`;
  const mixed = labels.some((label) => typeof label !== "number");
  if (mixed) throw new ConfigError("class", "a mixture", `fewer classes: ${takes}`);
  throw new ConfigError("guidance", guidance, `1: ${takes}`);
}

/** @throws {ConfigError} if a request does not fit, with the numbers of steps and images that would */
function requireFit(draw: DrawPlan, fits: (draw: DrawPlan) => boolean, limit: string): void {
  if (fits(draw)) return;
  const { steps, labels, evaluations, imageWork } = draw;
  const images = labels.length;
  const shorter = (fewer: number): DrawPlan => {
    const share = fewer / steps;
    return { ...draw, steps: fewer, evaluations: share * evaluations, imageWork: share * imageWork };
  };
  const mostSteps = largest(steps, (fewer) => fits(shorter(fewer)));
  const mostImages = largest(images, (count) => fits({ ...draw, labels: labels.slice(0, count) }));
  const choices = [
    ...(mostSteps > 0 ? [`${mostSteps} steps x ${images} images`] : []),
    ...(mostImages > 0 && images > 1 ? [`${steps} steps x ${mostImages} images`] : []),
  ];
  const most = choices.length > 0 ? `at most ${choices.join(" or ")}` : "fewer steps and images";
  throw new ConfigError("steps", `${steps} steps x ${images} images`, `${most}: ${limit}`);
}

/** Largest number below `tooLarge` that fits; 0 if none does. */
function largest(tooLarge: number, fits: (value: number) => boolean): number {
  let [most, least] = [0, tooLarge];
  while (least - most > 1) {
    const middle = Math.floor((most + least) / 2);
    if (fits(middle)) most = middle;
    else least = middle;
  }
  return most;
}
