/**
 * Pictures in request bodies: forms with files, data URLs in JSON, and the fields that say how they are drawn from.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { markovSamplers } from "../../lib/diffusion/sampler.ts";
import { MAX_RESAMPLINGS } from "../../lib/sampling/edits/image_edit.ts";
import { RESAMPLING_SAMPLER } from "../../lib/sampling/request.ts";
import type { EditFiles } from "../pictures/decoder.ts";
import { takeBody } from "./body.ts";
import { numberField, optional, wholeField } from "./json_fields.ts";
import { type FieldFault, ProblemError } from "./problem.ts";

/** Maximum parts of a form; there are fewer fields. */
const MAX_PARTS = 64;

/** Most steps of a jump back. */
const MOST_JUMP = 1000;

/**
 * Fields that say how an image is drawn from a given one.
 *
 * @param prefix of their descriptions
 */
export function editSettingFields(prefix = "") {
  return {
    strength: optional(
      numberField(0, 1),
      `${prefix}Share of the steps that is run, above 0 to 1: how far the result may be from the image. 1 starts ` +
        "from noise. Default 0.6, with a mask 1.",
    ),
    resamplings: optional(
      wholeField(1, MAX_RESAMPLINGS),
      `${prefix}Passes over each stretch of steps, for a better fit of what is drawn to what is kept (RePaint, ` +
        `Lugmayr et al. 2022). More than 1 needs a mask and a sampler that can repeat its steps: ${
          markovSamplers.join(", ")
        }; ` +
        `${RESAMPLING_SAMPLER} where neither the request nor a default names one. Default 1.`,
    ),
    jump: optional(
      wholeField(1, MOST_JUMP),
      `${prefix}Steps that RePaint jumps back, with resamplings above 1. Default 10, or as many as there can be.`,
    ),
  };
}

const IMAGE_WORDS =
  "PNG, JPEG, WebP or GIF, cropped to its centre and resized to the model's size; transparency becomes white.";
const MASK_WORDS =
  "PNG or WebP of the image's size. The image is drawn anew where the mask is transparent, and kept where it is " +
  "opaque. Default: drawn anew everywhere.";

const file = (description: string) => z.string().openapi({ format: "binary", description });

/** Files of a form, for `/openapi.json`. */
export function fileFields() {
  return { image: file(IMAGE_WORDS), mask: file(MASK_WORDS).optional() };
}

const DATA_URL = /^data:image\/[a-z0-9.+-]+;base64,/i;
const DATA_URL_WORDS = "a data URL of an image in base64 (data:image/png;base64,…)";

const reference = (description: string) =>
  z.strictObject({
    image_url: z.string({ error: DATA_URL_WORDS }).regex(DATA_URL, DATA_URL_WORDS),
  }, { error: `an object with image_url, ${DATA_URL_WORDS}` }).openapi({ description });

/** Fields of JSON that take the place of files. */
export function dataUrlFields() {
  const one = "one image";
  return {
    images: z.array(reference(IMAGE_WORDS), { error: one }).min(1, one).max(1, one),
    mask: reference(MASK_WORDS).nullish(),
  };
}

/**
 * Files that data URLs hold.
 *
 * @throws {ProblemError} 400 for other text than base64
 */
export function filesOf(
  { images: [image], mask }: z.output<z.ZodObject<ReturnType<typeof dataUrlFields>>>,
): EditFiles {
  return {
    image: fromDataUrl("images.0.image_url", image!.image_url), // exactly one
    ...(mask ? { mask: fromDataUrl("mask.image_url", mask.image_url) } : {}),
  };
}

function fromDataUrl(field: string, url: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(url.slice(url.indexOf(",") + 1));
  } catch {
    throw ProblemError.fields([{ field, value: url, allowed: DATA_URL_WORDS }]);
  }
}

/** True for the content type of JSON. */
export const isJson = (type: string): boolean => /^application\/json *(;|$)/i.test(type);
/** True for the content type of a form with files. */
export const isForm = (type: string): boolean => /^multipart\/form-data *;/i.test(type);

/** 415 for a body that is neither. */
export function neitherFormNorJson(type: string): ProblemError {
  const allowed = "multipart/form-data or application/json";
  return new ProblemError(415, "unsupported_media_type", `the body must be ${allowed}`, {
    errors: [{ field: "Content-Type", value: type, allowed }],
    headers: { "Accept-Post": "multipart/form-data, application/json" },
  });
}

/** A parsed form. */
export interface PictureForm {
  readonly files: EditFiles;
  /** All other fields, as what they mean: numbers, booleans and objects are text in a form. */
  readonly texts: Record<string, unknown>;
}

/**
 * Reads a form with the files `image` and `mask`.
 *
 * @param type Content-Type of the body
 * @param shape schemas of all other fields
 * @throws {ProblemError} 400 naming the field
 */
export async function readPictureForm(c: Context, type: string, shape: z.ZodRawShape): Promise<PictureForm> {
  const bytes = await takeBody(c);
  checkParts(bytes, type);
  let form: FormData;
  try {
    form = await new Response(bytes, { headers: { "Content-Type": type } }).formData();
  } catch {
    throw new ProblemError(400, "invalid_form", "the body is not valid multipart/form-data");
  }
  const files: { image?: File; mask?: File } = {};
  const texts = new Map<string, unknown>();
  const faults: FieldFault[] = [];
  for (const [key, value] of form) {
    const name = key === "image[]" ? "image" : key; // of clients that send a list
    const isFile = name === "image" || name === "mask";
    const given = typeof value === "string" ? value : "a file";
    if (isFile && typeof value === "string") faults.push({ field: name, value, allowed: "a file" });
    else if (!isFile && typeof value !== "string") {
      faults.push({ field: name, value: given, allowed: "text" });
    } else if (isFile ? files[name] : texts.has(name)) {
      faults.push({ field: name, value: given, allowed: isFile ? "one file" : "a single value" });
    } else if (typeof value !== "string") files[name as "image" | "mask"] = value;
    else texts.set(name, meaning(value, shape[name]));
  }
  const { image, mask } = files;
  if (!image && !faults.some(({ field }) => field === "image")) {
    faults.push({ field: "image", allowed: "a PNG, JPEG, WebP or GIF file" });
  }
  if (!image || faults.length > 0) throw ProblemError.fields(faults);
  return {
    files: {
      image: new Uint8Array(await image.arrayBuffer()),
      ...(mask ? { mask: new Uint8Array(await mask.arrayBuffer()) } : {}),
    },
    texts: Object.fromEntries(texts),
  };
}

/** Refuses forms of many parts, since parsing 100,000 takes seconds. */
function checkParts(bytes: Uint8Array<ArrayBuffer>, type: string): void {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(type)?.slice(1).find((text) => text);
  if (boundary === undefined) {
    throw new ProblemError(400, "invalid_form", "the Content-Type of the body has no boundary");
  }
  const buffer = Buffer.from(bytes.buffer);
  let parts = 0;
  for (let at = buffer.indexOf(`--${boundary}`); at >= 0; at = buffer.indexOf(`--${boundary}`, at + 1)) {
    if (++parts <= MAX_PARTS) continue;
    throw new ProblemError(400, "invalid_form", `the body has more than ${MAX_PARTS} parts`);
  }
}

/** Numbers, booleans and objects (as JSON) of a form, by the type of the field; other text stays, for the schema to refuse. */
function meaning(value: string, schema: unknown): unknown {
  let type = schema;
  while (type instanceof z.ZodOptional || type instanceof z.ZodNullable) type = type.unwrap();
  if (type instanceof z.ZodBoolean) return value === "true" || (value === "false" ? false : value);
  if (type instanceof z.ZodObject) return parsed(value);
  const isNumber = type instanceof z.ZodNumber && /^-?\d+(\.\d+)?$/.test(value);
  // The text of a number that is too large says more than infinity.
  return isNumber && Number.isFinite(Number(value)) ? Number(value) : value;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}
