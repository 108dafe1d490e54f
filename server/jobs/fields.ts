/**
 * Fields of `POST /jobs`: those of `/generate` and, for images that are drawn from given ones, of `/v1/images/edits`.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { MAX_GUIDANCE } from "../../lib/diffusion/guidance.ts";
import { samplerNames, spacingNames, variances } from "../../lib/diffusion/sampler.ts";
import { MAX_SCALE } from "../../lib/image/grid.ts";
import { ANY_CLASS } from "../../lib/sampling/class_choice.ts";
import { INTERVAL_WORDS, intervalText, parseInterval } from "../../lib/sampling/guidance_interval.ts";
import { type EditMetadata, editMetadata } from "../../lib/sampling/metadata.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServedModel } from "../engine/engine.ts";
import { readJson } from "../http/body.ts";
import { guidanceWords, RESCALE_RANGE } from "../http/guidance.ts";
import { numberField, optional, readFields, textField, wholeField, wordField } from "../http/json_fields.ts";
import {
  dataUrlFields,
  editSettingFields,
  fileFields,
  filesOf,
  isForm,
  isJson,
  neitherFormNorJson,
  readPictureForm,
} from "../http/picture_body.ts";
import { checkPictureSize, type DrawQuery, planQuery, type PlanSettings } from "../http/plan.ts";
import { ProblemError } from "../http/problem.ts";
import { MOST_CHURN, mostStepsNow, type RangeContext } from "../http/request.ts";
import type { Served } from "../http/served.ts";
import type { DecodedEdit, EditFiles } from "../pictures/decoder.ts";
import { isWebhookSecret, SECRET_WORDS } from "./webhooks/signature.ts";
import { MAX_WEBHOOK_URL } from "./webhooks/target.ts";

/** Fields of a job beside its pictures. */
function jobFields(context: RangeContext) {
  return {
    ...drawFields(context),
    ...editSettingFields("With a picture. "),
    webhook: webhookField(),
  };
}

/** Schema of the body of `POST /jobs` as JSON. */
export function jobRequestSchema(context: RangeContext) {
  const { images, mask } = dataUrlFields();
  const pictures = { images: images.nullish(), mask };
  return z.strictObject({ ...pictures, ...jobFields(context) }).openapi("JobRequest");
}

/** Schema of the body of `POST /jobs` as a form, for `/openapi.json`. */
export function jobFormSchema(context: RangeContext) {
  return z.strictObject({ ...fileFields(), ...jobFields(context) }).openapi("JobForm");
}

/** A parsed body. */
export interface JobBody {
  readonly fields: JobFields;
  /** Pictures that the images are drawn from; undefined: they are drawn from noise. */
  readonly files?: EditFiles;
}

/**
 * Reads the body of a job: JSON, or a form with files.
 *
 * @throws {ProblemError} 415 for other content types, 400 naming the field
 */
export async function readJobBody(
  c: Context,
  schema: ReturnType<typeof jobRequestSchema>,
): Promise<JobBody> {
  const type = c.req.header("Content-Type") ?? "";
  if (isForm(type)) {
    const withoutUrls = schema.omit({ images: true, mask: true });
    const { files, texts } = await readPictureForm(c, type, withoutUrls.shape);
    return { fields: readFields(texts, withoutUrls), files };
  }
  if (!isJson(type)) throw neitherFormNorJson(type);
  const { images, mask, ...fields } = readFields(await readJson(c), schema);
  if (images) return { fields, files: filesOf({ images, mask }) };
  const { strength, resamplings, jump } = fields;
  const alone = Object.entries({ mask, strength, resamplings, jump }).filter(([, value]) => value != null);
  if (alone.length === 0) return { fields };
  throw ProblemError.fields(
    alone.map(([field, value]) => ({ field, value, allowed: "no value without a picture (images)" })),
  );
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
    model: optional(textField(1, 1000), `Name of the model, ${same}`),
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

/** Parsed fields of `POST /jobs`, without pictures. */
export type JobFields = Omit<z.output<ReturnType<typeof jobRequestSchema>>, "images" | "mask">;

/** What a job draws, as it is stored: defaults are filled in, so that later ones do not change images. */
export interface StoredRequest extends Omit<DrawQuery, "count" | "edit" | "guidance_interval">, EditMetadata {
  readonly class: string;
  readonly seed: number;
  readonly scale: number;
  /** Name of the model, where the request has chosen one. */
  readonly model?: string;
  /** `LOW,HIGH`: JSON has no infinity. */
  readonly guidance_interval?: string;
}

/** Most images of a plan. */
const PLANNED_AT_ONCE = 4096;

/**
 * Checks a request as `/generate` does, and fills in defaults.
 *
 * @param pictures the given picture and its mask, if the images are drawn from them
 * @returns the request, and the plan of its first images, of each class one
 * @throws {ProblemError} 400 naming the field and what is allowed
 */
export function completeRequest(
  fields: JobFields,
  { engine, model }: Served,
  settings: PlanSettings,
  pictures?: DecodedEdit,
): { readonly request: StoredRequest; readonly draw: DrawPlan } {
  const { count, scale, webhook: _, ...given } = fields;
  const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value != null)) as Partial<
    StoredRequest
  >;
  // Its id may change before the job is drawn.
  const chosen = named.model === undefined ? {} : { model: engine.name };
  const first = { class: ANY_CLASS, ...named, ...chosen, scale: scale ?? 1 };
  checkPictureSize(model, 1, first.scale);
  // Images of class `any` repeat their classes, and may take more rows than the first.
  const distinct = Math.min(count ?? 1, Math.max(1, model.classes.length), PLANNED_AT_ONCE);
  const query = { ...queryOf(first, pictures), count: distinct };
  const draw = planQuery(query, model, { ...settings, maxImages: PLANNED_AT_ONCE });
  const { seed, steps, sampler, spacing, guidance, guidanceInterval } = draw;
  const request = {
    ...first,
    ...{ seed, steps, sampler, spacing, guidance },
    ...(guidanceInterval === undefined ? {} : { guidance_interval: intervalText(guidanceInterval) }),
    ...editMetadata(draw),
  };
  return { request, draw };
}

/**
 * Plan of one image of a job.
 *
 * @param pictures the given picture and its mask, if it is drawn from them
 * @throws {ProblemError} 400 where the model cannot draw it
 */
export function planImageOf(
  request: StoredRequest,
  position: number,
  model: ServedModel,
  settings: PlanSettings,
  pictures?: DecodedEdit,
): DrawPlan {
  const seed = request.seed + position;
  return planQuery({ ...queryOf(request, pictures), seed, count: 1 }, model, settings);
}

/** The request in the names of `/generate`, with its edit. */
function queryOf(request: Partial<StoredRequest>, pictures: DecodedEdit | undefined): DrawQuery {
  const { scale: _, mask: __, model: ___, strength, resamplings, jump, guidance_interval, ...query } =
    request;
  const edit = pictures && { ...pictures, strength, resamplings, jump };
  const interval = guidance_interval === undefined ? undefined : parseInterval(guidance_interval);
  return { ...query, guidance_interval: interval, ...(edit ? { edit } : {}) };
}
