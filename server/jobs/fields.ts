/**
 * Fields of `POST /jobs`: those of `/generate`, as JSON.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { MAX_GUIDANCE } from "../../lib/diffusion/guidance.ts";
import { samplerNames, spacingNames, variances } from "../../lib/diffusion/sampler.ts";
import { MAX_SCALE } from "../../lib/image/grid.ts";
import { ANY_CLASS } from "../../lib/sampling/class_choice.ts";
import { INTERVAL_WORDS, intervalText, parseInterval } from "../../lib/sampling/guidance_interval.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServedModel } from "../engine/engine.ts";
import { guidanceWords, RESCALE_RANGE } from "../http/guidance.ts";
import { numberField, optional, textField, wholeField, wordField } from "../http/json_fields.ts";
import { checkPictureSize, type DrawQuery, planQuery, type PlanSettings } from "../http/plan.ts";
import { MOST_CHURN, mostStepsNow, type RangeContext } from "../http/request.ts";
import { isWebhookSecret, SECRET_WORDS } from "./webhooks/signature.ts";
import { MAX_WEBHOOK_URL } from "./webhooks/target.ts";

/** Schema of the body of `POST /jobs`. */
export function jobRequestSchema(context: RangeContext) {
  return z.strictObject({ ...drawFields(context), webhook: webhookField() }).openapi("JobRequest");
}

function webhookField() {
  const secret = z.string({ error: SECRET_WORDS }).refine(isWebhookSecret, SECRET_WORDS);
  return z.strictObject({
    url: textField(1, MAX_WEBHOOK_URL).openapi({
      description: "http or https URL on a host of --webhook-hosts.",
    }),
    secret: optional(
      secret,
      `Key of the signature: ${SECRET_WORDS}. Default: random, returned in the response.`,
    ),
  }, { error: "an object with url" }).nullish().openapi({
    description:
      "Sent a POST when the job has ended (`job.done`, `job.failed`, `job.cancelled`), signed as in Standard Webhooks, " +
      "until it is answered with 2xx: nine attempts in about ten hours.",
  });
}

/** Fields that say what is drawn. */
function drawFields(context: RangeContext) {
  const { maxJobImages, maxSteps } = context.settings;
  const same = "as for /generate.";
  return {
    class: optional(
      textField(1, 1000),
      `Class name or index, \`${ANY_CLASS}\` (default), \`none\` or a mixture, ${same}`,
    ),
    count: optional(
      wholeField(1, maxJobImages),
      "Number of images. Image i equals a single image drawn with seed + i. Default 1.",
    ),
    seed: optional(
      wholeField(0, Number.MAX_SAFE_INTEGER - maxJobImages),
      "Seed of the first image. Default: random.",
    ),
    steps: optional(wholeField(1, maxSteps, () => mostStepsNow(context)), `Sampling steps, ${same}`),
    sampler: optional(wordField(samplerNames), `Sampler, ${same}`),
    spacing: optional(wordField(spacingNames), `Spacing of the noise levels, ${same}`),
    eta: optional(numberField(0, 1), `Noise of ddim, ${same}`),
    variance: optional(wordField(variances), `Variance of ddpm's noise, ${same}`),
    churn: optional(numberField(0, MOST_CHURN), `Noise that edm adds back, ${same}`),
    guidance: optional(numberField(0, MAX_GUIDANCE), `Classifier-free guidance scale, ${same}`),
    negative_class: optional(textField(1, 1000), guidanceWords.negative_class),
    guidance_rescale: optional(numberField(...RESCALE_RANGE), guidanceWords.guidance_rescale),
    guidance_interval: optional(
      z.string({ error: INTERVAL_WORDS }).refine((text) => parseInterval(text) !== undefined, INTERVAL_WORDS),
      guidanceWords.guidance_interval,
    ),
    scale: optional(wholeField(1, MAX_SCALE), "Integer upscaling factor. Default 1."),
  };
}

/** Parsed body of `POST /jobs`. */
export type JobFields = z.output<ReturnType<typeof jobRequestSchema>>;

/** What a job draws, as it is stored: defaults are filled in, so that later ones do not change images. */
export interface StoredRequest extends Omit<DrawQuery, "count" | "edit" | "guidance_interval"> {
  readonly class: string;
  readonly seed: number;
  readonly scale: number;
  /** `LOW,HIGH`: JSON has no infinity. */
  readonly guidance_interval?: string;
}

/** Most images of a plan. */
const PLANNED_AT_ONCE = 4096;

/**
 * Checks a request as `/generate` does, and fills in defaults.
 *
 * @returns the request, and the plan of its first images, of each class one
 * @throws {ProblemError} 400 naming the field and what is allowed
 */
export function completeRequest(
  fields: JobFields,
  model: ServedModel,
  settings: PlanSettings,
): { readonly request: StoredRequest; readonly draw: DrawPlan } {
  const { count, scale, webhook: _, ...given } = fields;
  const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value != null)) as Partial<
    StoredRequest
  >;
  const first = { class: ANY_CLASS, ...named, scale: scale ?? 1 };
  checkPictureSize(model, 1, first.scale);
  // Images of class `any` repeat their classes, and may take more rows than the first.
  const distinct = Math.min(count ?? 1, Math.max(1, model.classes.length), PLANNED_AT_ONCE);
  const query = { ...first, guidance_interval: interval(first), count: distinct };
  const draw = planQuery(query, model, { ...settings, maxImages: PLANNED_AT_ONCE });
  const { seed, steps, sampler, spacing, guidance, guidanceInterval } = draw;
  const request = {
    ...first,
    ...{ seed, steps, sampler, spacing, guidance },
    ...(guidanceInterval === undefined ? {} : { guidance_interval: intervalText(guidanceInterval) }),
  };
  return { request, draw };
}

/**
 * Plan of one image of a job.
 *
 * @throws {ProblemError} 400 where the model cannot draw it
 */
export function planImageOf(
  { scale: _, seed, ...request }: StoredRequest,
  position: number,
  model: ServedModel,
  settings: PlanSettings,
): DrawPlan {
  const query = { ...request, guidance_interval: interval(request), seed: seed + position, count: 1 };
  return planQuery(query, model, settings);
}

function interval({ guidance_interval }: Pick<StoredRequest, "guidance_interval">) {
  return guidance_interval === undefined ? undefined : parseInterval(guidance_interval);
}
