/**
 * Pictures from noise, in a browser: drawing and training by the module `denoise.js`.
 *
 * @module
 */
import { explain, whyNoWebGpu } from "./device.js";
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
    showTrouble(explain(error));
  }
} else showTrouble(why);
