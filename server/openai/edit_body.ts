/**
 * Bodies of `POST /v1/images/edits`: a form with files, or JSON with data URLs.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { readJson } from "../http/body.ts";
import { readFields, textField } from "../http/json_fields.ts";
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
import type { RangeContext } from "../http/request.ts";
import type { EditFiles } from "../pictures/decoder.ts";
import { ignored, imageFields } from "./fields.ts";

/** Fields of an edit beside its files. */
export function editFields(context: RangeContext) {
  return {
    ...imageFields(context),
    ...editSettingFields("Extension. "),
    input_fidelity: ignored(textField(0, 100)),
  };
}

/** Parsed fields of an edit. */
export type EditFields = z.output<z.ZodObject<ReturnType<typeof editFields>>>;

/** A parsed body. */
export interface EditBody {
  readonly fields: EditFields;
  readonly files: EditFiles;
}

/** Schema of the form, for `/openapi.json`. */
export function editFormSchema(context: RangeContext) {
  return z.strictObject({ ...fileFields(), ...editFields(context) }).openapi("ImageEditForm");
}

/** Schema of the JSON body. */
export function editJsonSchema(context: RangeContext) {
  return z.strictObject({ ...dataUrlFields(), ...editFields(context) }).openapi("ImageEditRequest");
}

/**
 * Reads the body of an edit.
 *
 * @throws {ProblemError} 415 for other content types, 400 naming the field
 */
export async function readEditBody(
  c: Context,
  schemas: {
    readonly fields: z.ZodObject<ReturnType<typeof editFields>>;
    readonly json: ReturnType<typeof editJsonSchema>;
  },
): Promise<EditBody> {
  const type = c.req.header("Content-Type") ?? "";
  if (isJson(type)) {
    const { images, mask, ...fields } = readFields(await readJson(c), schemas.json);
    return { fields, files: filesOf({ images, mask }) };
  }
  if (!isForm(type)) throw neitherFormNorJson(type);
  const { files, texts } = await readPictureForm(c, type, schemas.fields.shape);
  return { fields: readFields(texts, schemas.fields), files };
}
