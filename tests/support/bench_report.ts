/** Benchmark reports. */
import type { Environment } from "../../bench/environment.ts";
import { type BenchReport, newReport } from "../../bench/report.ts";
import { ENVIRONMENT } from "./bench_environment.ts";

/** A report of one row of each kind: kernel, training, sampling, precision, first step. */
export function fakeReport(
  ofLimit: number,
  milliseconds: number,
  change: Partial<Environment> = {},
): BenchReport {
  const made = newReport({ ...ENVIRONMENT, ...change }, false);
  made.kernels.push({ name: "conv forward", milliseconds, gflops: 1, ofLimit });
  made.training.push({
    ...{
      model: "tiny",
      parameters: 1,
      batch: 16,
      dispatches: 500,
      milliseconds,
      imagesPerSecond: 1,
      flops: 1,
    },
    ...{ gflops: 1, ofPeak: ofLimit, hostMillisecondsPer1000: milliseconds, firstStepSeconds: 1 },
  });
  const sampling = { model: "tiny", batch: 8, steps: 20, imagesPerSecond: 1, gflops: 1 };
  made.sampling.push({ ...sampling, millisecondsPerStep: milliseconds, ofPeak: ofLimit });
  made.precisions.push({
    ...{ kind: "training", model: "small", batch: 4 },
    ...{ float32Milliseconds: 10, mixedMilliseconds: milliseconds, toFloat32: 10 / milliseconds },
  });
  made.firstSteps.push({ model: "tiny", batch: 16, coldSeconds: milliseconds, warmSeconds: 1 });
  return made;
}
