/** FID, KID and Inception score from the command line, with InceptionV3 in full on weights from a formula. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { inceptionParameters } from "../../../lib/evaluation/inception/network.ts";
import { encodeSafetensors } from "../../../lib/files/safetensors.ts";
import { goldenStateDict, loadInceptionCase } from "../../golden/inception.ts";
import { makeMaterial, runTask, TRAINING } from "../../support/command.ts";
import { makeSplits } from "../../support/evaluation/splits.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

Deno.test({
  name: "evaluate --inception measures a model, and keeps the statistics of the training images",
  ignore: Deno.env.get("DENOISE_FULL_INCEPTION") !== "1",
  fn: () =>
    inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      await makeSplits(directory);
      const full = loadInceptionCase("full");
      const weights = goldenStateDict(full.case, inceptionParameters(full));
      await Deno.writeFile(join(directory, "inception.safetensors"), encodeSafetensors(weights));
      const run = async (task: string, args: string[]) => {
        const { code, out, err } = await runTask(task, args, directory);
        assert.deepEqual([code, err], [0, ""]);
        return out;
      };
      const classifier = ["--data", "splits", "--preset", "small", "--epochs", "1", "--batch", "8"];
      await run("train_classifier", [...classifier, "--out", "scorer"]);
      await run("train", [...TRAINING, "--steps", "2", "--out", "run"]);
      const evaluate = [
        ...[
          "--data",
          "splits",
          "--model",
          "run",
          "--classifier",
          "scorer",
          "--inception",
          "inception.safetensors",
        ],
        ...["--steps", "2", "--images", "4", "--likelihood-images", "0", "--out", "scores"],
      ];
      const first = await run("evaluate", evaluate);
      for (const measure of ["FID", "KID", "Inception score"]) {
        assert.match(first, new RegExp(`${measure} .*\\d`));
      }
      const read = async () => JSON.parse(await Deno.readTextFile(join(directory, "scores/evaluation.json")));
      const { inception } = await read();
      assert.match(inception.digest, /^[0-9a-f]{64}$/);
      assert.ok(
        inception.samples.fid > inception.testImages.fid,
        "images of two steps of training are noise",
      );

      const second = await run("evaluate", evaluate);
      assert.doesNotMatch(second, /Inception's features of training images/);
      assert.deepEqual((await read()).inception, inception);
    }),
});
