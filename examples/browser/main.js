/**
 * Pictures from noise, in a browser: drawing and training by the module `denoise.js`.
 *
 * @module
 */
import { sentence, whyNoWebGpu } from "./device.js";
import { startDrawing } from "./draw.js";
import { showTrouble } from "./dom.js";
import { listModels } from "./models.js";
import { startTraining } from "./train.js";

const why = whyNoWebGpu();
if (why === undefined) {
  try {
    await listModels();
    startDrawing();
    await startTraining();
  } catch (error) {
    showTrouble(sentence(error));
  }
} else showTrouble(why);
