/**
 * Image jobs being drawn: their validation and plan, and the pictures to read along the way.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import type { ForwardProcess } from "../diffusion/forward_process.ts";
import { checkGuidance } from "../diffusion/guidance.ts";
import { classCount, imageChannels } from "../model/config.ts";
import { givenBy } from "./edits/edit_plan.ts";
import { checkGuidable, type GuidableNetwork } from "./guidable.ts";
import type { ImageJob } from "./image_job.ts";
import { planFor } from "./image_plan.ts";
import type { SlotPicture } from "./slots/slot_buffers.ts";
import { isFinished, type Underway } from "./underway.ts";

/** A job being drawn. */
export interface JobUnderway extends Underway {
  readonly image: ImageJob;
}

/**
 * Checks a job and plans its steps.
 *
 * @param network the network that draws it, with the forward process of its training
 * @throws {ConfigError} naming the invalid field of the job or of its edit
 */
export function startJob(
  job: ImageJob,
  network: GuidableNetwork & { readonly schedule: ForwardProcess },
): JobUnderway {
  const { config } = network;
  const { seed, frames } = job;
  const classes = classCount(config);
  for (const label of labelsOf(job)) checkWhole("label", label, 0, classes);
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER);
  checkGuidance(job);
  checkGuidable(job, network);
  const plan = planFor(network, job);
  for (const at of frames?.at ?? []) checkWhole("frames.at", at, 0, plan.length - 1);
  return { image: { ...job, ...givenBy(job, plan, imageChannels(config)) }, plan, done: 0 };
}

/** All labels that a job names. */
function labelsOf({ label, negative }: ImageJob): number[] {
  const own = typeof label === "number" ? [label] : label.map(({ label }) => label);
  return negative === undefined ? own : [...own, negative];
}

/** Picture to read after a job's last step: the finished image or a requested frame; undefined for neither. */
export function pictureAt(job: JobUnderway): SlotPicture["of"] | undefined {
  if (isFinished(job)) return "x";
  const { frames } = job.image;
  if (!frames?.at.includes(job.done - 1)) return undefined;
  return frames.kind === "noisy" ? "x" : "preview";
}

/** Number of steps until a job's next requested frame, or until it is finished; 1 or more. */
export function stepsToNextPicture({ image, plan, done }: JobUnderway): number {
  const last = plan.length - 1;
  const next = image.frames?.at.find((at) => at >= done) ?? last;
  return Math.min(next, last) - done + 1;
}
