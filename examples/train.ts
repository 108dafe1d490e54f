/**
 * Trains a small network on some of CIFAR-10, and listens to the events of the run.
 *
 *     deno run -A examples/train.ts --limit 2000 --epochs 5 --out runs/lesson
 *
 * The first time, this fetches CIFAR-10 (139 MB). Without a GPU the command above takes about three minutes.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { cifar10, type EpochRecord, lossChart, train } from "../mod.ts";

const { values } = parseArgs({
  options: {
    limit: { type: "string", default: "2000" },
    epochs: { type: "string", default: "5" },
    batch: { type: "string", default: "32" },
    out: { type: "string", default: "runs/lesson" },
  },
});

// 1. The images: bytes of shape [50000, 32, 32, 3], and the class of each. A tenth will be kept for validation.
const data = await cifar10();

// 2. Train. `train()` is an async iterator of events, and a `for await` with a `break` or an AbortSignal ends it. What is
//    not given here has the values of Ho et al. 2020, or what suits the adapter; `TrainOptions` documents every option.
const epochs: EpochRecord[] = [];
for await (
  const event of train({
    data,
    preset: "tiny",
    limit: Number(values.limit),
    epochs: Number(values.epochs),
    batch: Number(values.batch),
    samplesPerClass: 2,
    out: values.out,
  })
) {
  switch (event.type) {
    case "start":
      console.log(`${event.parameters} parameters, ${event.totalSteps} steps on ${event.adapter}`);
      break;
    case "step": // about once a second
      console.log(
        `step ${event.step}: loss ${event.loss.toFixed(4)}, ${event.imagesPerSecond.toFixed()} images/s`,
      );
      break;
    case "epoch":
      epochs.push(event);
      console.log(`epoch ${event.epoch}: training ${event.trainLoss}, validation ${event.valLoss}`);
      break;
    case "samples": { // drawn with the moving average of the weights, from the same seeds each time
      const grid = event.images.grid({ columns: event.columns, rowLabels: event.rowLabels, scale: 2 });
      await Deno.writeFile(`${values.out}/samples-${event.epoch}.png`, await grid.png());
      break;
    }
    case "warning":
      console.warn(event.message);
      break;
  }
}

// 3. The curve that you would plot in a paper. The loss has a floor that nobody can reach: noise that is not to be seen
//    in x_t cannot be predicted from it.
const chart = await lossChart([
  { name: "training", points: epochs.map(({ epoch, trainLoss }) => ({ x: epoch, y: trainLoss })) },
  { name: "validation", points: epochs.map(({ epoch, valLoss }) => ({ x: epoch, y: valLoss! })) },
], { title: "Mean squared error of the predicted noise", xLabel: "epoch", yLabel: "loss", logY: true });
await Deno.writeFile(`${values.out}/loss.png`, chart);

// 4. What is left is a model: draw with it, or train on with `resume: true`.
console.log(`draw with it: deno run -A examples/sample.ts --model ${values.out}`);
