/**
 * Pictures from noise, in a browser: drawing by the module `denoise.js`.
 *
 * @module
 */
import { sentence, whyNoWebGpu } from "./device.js";
import { startDrawing } from "./draw.js";
import { showTrouble } from "./dom.js";
import { listModels } from "./models.js";

const why = whyNoWebGpu();
if (why === undefined) {
  try {
    await listModels();
    startDrawing();
  } catch (error) {
    showTrouble(sentence(error));
  }
} else showTrouble(why);
