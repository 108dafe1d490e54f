/**
 * Which requests are let in when not all can be: to the batch, and to the queue.
 *
 * A batch that is shared by all requests alike finishes none of them in time when there are too many, so requests for
 * several images are taken up a few at a time.
 *
 * @module
 */
import type { Ticket } from "./ticket.ts";

/** Requests for several images that may be half way at once, whatever their sizes. */
const OPEN_AT_ONCE = 2;

/** What is looked at of a ticket here. */
export type Candidate =
  & Pick<Ticket, "waiting" | "halfWay" | "workLeft">
  & { readonly job: { readonly client: string; readonly draw: { readonly labels: readonly unknown[] } } };

/**
 * Whether a request's next image may join the batch. One that is half way may. Of the others those for a single image
 * may, since nothing can be left half done of them, and those for several where few are half way, none of the same
 * client among them, or where it is small beside all of these. So each that is let in before others are finished is at
 * most half as large as they are, and what is half done stays little.
 *
 * @param open those that are half way
 */
export function mayOpen(ticket: Candidate, open: readonly Candidate[]): boolean {
  const { client, draw } = ticket.job;
  if (ticket.halfWay || draw.labels.length === 1) return true;
  if (open.length < OPEN_AT_ONCE && open.every(({ job }) => job.client !== client)) return true;
  return open.every(({ workLeft }) => 2 * ticket.workLeft <= workLeft);
}

/** Who is turned away of too many that wait, the last having just come: the newest of the client with the most. */
export function toDisplace<T extends Candidate>(waiting: readonly T[]): T {
  const newcomer = waiting[waiting.length - 1];
  const counts = new Map<string, number>();
  for (const { job: { client } } of waiting) counts.set(client, (counts.get(client) ?? 0) + 1);
  let most = newcomer.job.client;
  for (const [client, count] of counts) if (count > counts.get(most)!) most = client;
  return waiting.findLast(({ job }) => job.client === most)!;
}
