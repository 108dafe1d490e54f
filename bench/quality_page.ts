/**
 * The page `docs/quality.md`: tables of samplers, training recipes and models, from the files in `bench/results/quality/`.
 *
 * @module
 */
import { DEFAULT_SAMPLER, DEFAULT_STEPS } from "../lib/sampling/request.ts";
import { asFlags, describeRecipe } from "../lib/train/recipes.ts";
import { bulletList, markdownTable, wrap } from "./markdown.ts";
import {
  describeGuidance,
  type GuidedPlan,
  type ModelEvaluation,
  type QualityHead,
  type QualityMeasures,
  readEvaluation,
  readRecipeTable,
  readSamplerTable,
  type RecipeTable,
  samePlan,
  type SamplerTable,
} from "./quality.ts";

/** Results that the page is made from. */
export interface QualityResults {
  readonly samplers?: SamplerTable;
  readonly recipes?: RecipeTable;
  readonly models: readonly ModelEvaluation[];
}

/** Folder of the results. */
const RESULTS = new URL("results/quality/", import.meta.url);

/** The page from the results in the repository. */
export async function qualityPageOfResults(): Promise<string> {
  const models = await Promise.all(
    ["small", "tiny"].map((name) => readEvaluation(new URL(`model-${name}.json`, RESULTS))),
  );
  return qualityPage({
    samplers: await readSamplerTable(new URL("samplers.json", RESULTS)),
    recipes: await readRecipeTable(new URL("recipes.json", RESULTS)),
    models: models.filter((model) => model !== undefined),
  });
}

/** The page as Markdown, as `deno fmt` formats it. */
export function qualityPage({ samplers, recipes, models }: QualityResults): string {
  const blocks = [
    "# Quality",
    wrap(
      "Samplers, training recipes and models by the quality of their images. `deno task gen` writes this page from the files " +
        "in `bench/results/quality/`, which the commands below write.",
    ),
    bulletList([
      "**Fréchet distance** and **kernel distance**: to CIFAR-10's test images, in the features of the project's own classifier " +
      "(`docs/evaluation.md`); smaller is better. They are not FID and KID. The Fréchet distance of few images is too large, the " +
      "more so the more they vary: compare it only between rows with the same number of images. The kernel distance is unbiased, " +
      "and may be negative.",
      "**class consistency**: share of the images that the classifier takes for the class they were drawn for.",
      "**±**: standard error over the images, by a jackknife over rounds of all classes. Rows of a table have the same seeds and " +
      "classes, so they differ by less than two independent sets of images would.",
    ]),
    ...samplers ? samplerBlocks(samplers) : [],
    ...recipes ? recipeBlocks(recipes) : [],
    ...models.length > 0 ? modelBlocks(models) : [],
  ];
  return blocks.join("\n\n") + "\n";
}

/** A measure with its standard error: `0.52 ± 0.03`. */
export function withError(
  { value, error }: { readonly value: number; readonly error: number | null },
  digits: number,
): string {
  return `${value.toFixed(digits)}${error === null ? "" : ` ± ${error.toFixed(digits)}`}`;
}

/** Heads and cells of measures. */
const MEASURE_HEADS = ["images", "Fréchet distance", "kernel distance x 1000", "class consistency"];

function measureCells(
  { images, frechetDistance, kernelDistance, classConsistency }: QualityMeasures,
): string[] {
  const thousandths = {
    value: 1000 * kernelDistance.value,
    error: kernelDistance.error === null ? null : 1000 * kernelDistance.error,
  };
  return [
    String(images),
    withError(frechetDistance, 2),
    withError(thousandths, 1),
    classConsistency ? `${percent(classConsistency)} %` : "-",
  ];
}

function percent({ value, error }: { readonly value: number; readonly error: number | null }): string {
  return withError({ value: 100 * value, error: error === null ? null : 100 * error }, 0);
}

/** Commands and environment of a table. */
function headBlocks({ commands, environment, version, data, classifier, seed }: QualityHead): string[] {
  const { adapter, deno, threads, date } = environment;
  return [
    "```sh\n" + commands.join("\n") + "\n```",
    wrap(
      `On ${adapter}, ${threads} threads, Deno ${deno}, version ${version}, ${date}; compared with ` +
        `${data.images} test images by the classifier ${
          classifier.slice(0, 8)
        } (SHA-256 of its weights); seeds from ${seed}.`,
    ),
  ];
}

function samplerBlocks(table: SamplerTable): string[] {
  const { model, solution, testImages, times } = table;
  const timed = times.length > 0;
  const secondsOf = (plan: GuidedPlan) => times.find((time) => samePlan(time, plan))?.seconds;
  const cells = [...table.cells].sort((a, b) =>
    b.images - a.images || a.evaluations - b.evaluations || kernelOrder(a, b)
  );
  const rows = cells.map((cell) => {
    const { sampler, spacing, steps, evaluations, solutionError } = cell;
    return [
      sampler,
      spacing,
      describeGuidance(cell),
      String(evaluations),
      String(steps),
      ...measureCells(cell),
      shareCell(cell),
      solutionError === null ? "" : solutionError.toFixed(3),
      ...timed ? [secondsOf(cell)?.toFixed(2) ?? ""] : [],
    ];
  });
  const ofTest = [...testImages].sort((a, b) => b.images - a.images)
    .map((
      measures,
    ) => [
      "test images",
      "",
      "",
      "",
      "",
      ...measureCells(measures),
      shareCell(measures),
      "",
      ...timed ? [""] : [],
    ]);
  const exact = solution
    ? ` **error**: root mean square difference of pixels (in [-1, 1]) to the image that ${solution.sampler} draws in ` +
      `${solution.evaluations} evaluations with the same guidance, over ${solution.images} images; only samplers that add no noise have one.`
    : "";
  return [
    "## Samplers",
    wrap(
      `Images of \`${model.path}\` at equal network evaluations: heun and edm take two a step.` +
        `${exact}${timed ? " **seconds**: per image, one at a time, kernels compiled before." : ""}`,
    ),
    wrap("**saturated**: share of the pixels' values that are 0 or 255, high in burnt-out images."),
    wrap(
      `The default is \`${DEFAULT_SAMPLER}\` in ${DEFAULT_STEPS} evaluations, spaced as \`karras\`: at 10 and at 15 evaluations no sampler has lower ` +
        "distances, and 20 evaluations do not lower them further. Those at 10 are equal within their errors, but more pixels are " +
        "saturated.",
    ),
    wrap(
      "Solvers of the probability flow keep the errors that a network makes at high noise levels. Before they clipped `x_0` as " +
        "DDIM does, about one image in 25 was burnt to white (with guidance 2, and some of these without); now none of 100 is. " +
        "heun follows diffusers' scheduler, which clips differently.",
    ),
    ...headBlocks(table),
    markdownTable(
      [
        "sampler",
        "spacing",
        "guidance",
        "evaluations",
        "steps",
        ...MEASURE_HEADS,
        "saturated",
        "error",
        ...timed ? ["seconds"] : [],
      ],
      [...rows, ...ofTest],
      3,
    ),
  ];
}

function shareCell({ saturated }: { readonly saturated: number }): string {
  return `${(100 * saturated).toFixed(1)} %`;
}

function kernelOrder(a: QualityMeasures, b: QualityMeasures): number {
  return a.kernelDistance.value - b.kernelDistance.value;
}

function recipeBlocks(table: RecipeTable): string[] {
  const { preset, steps, batch, sampling, denoising, recipes, testImages } = table;
  const rows = [...recipes].sort(kernelOrder).map((recipe) => [
    recipe.name,
    ...measureCells(recipe),
    ...recipe.x0Errors.map((error) => error.toPrecision(3)),
  ]);
  const sigmas = denoising.sigmas.map((sigma) => `error at ${sigma}`);
  const settings = recipes.map(({ name, settings }) => {
    const flags = asFlags(settings);
    return `\`${name}\`: ${flags === "" ? "the defaults" : `\`${flags}\``}`;
  });
  const [{ sampler } = { sampler: "" }] = recipes;
  return [
    "## Training recipes",
    wrap(
      `Preset \`${preset}\`, ${steps} steps of ${batch} images each: the same images in the same order, the same seed. ` +
        `Images are drawn by ${sampler} in ${sampling.evaluations} evaluations, guidance ${sampling.guidance}. ` +
        `**error at σ**: mean squared error of the estimate of x_0 of ${denoising.images} test images with noise of σ times ` +
        "the signal, in which all objectives can be compared.",
    ),
    bulletList(settings),
    wrap(
      `\`--recipe best\` is \`${
        describeRecipe("best")
      }\`. Only \`${preset}\` has been compared, over ${steps} steps: ` +
        "for other presets and longer runs it is a guess.",
    ),
    ...headBlocks(table),
    markdownTable(
      ["recipe", ...MEASURE_HEADS, ...sigmas],
      [...rows, ["test images", ...measureCells(testImages), ...sigmas.map(() => "")]],
      1,
    ),
  ];
}

function modelBlocks(models: readonly ModelEvaluation[]): string[] {
  const rows = models.map(({ model, samples, likelihood, settings }) => [
    `\`checkpoints/${model.path.split("/").at(-1)}\``,
    likelihood ? withError({ value: likelihood.bitsPerDimension, error: likelihood.standardError }, 2) : "",
    String(samples.images),
    samples.frechetDistance.toFixed(2),
    (1000 * samples.kernelDistance.mean).toFixed(1),
    samples.classConsistency === null ? "" : `${(100 * samples.classConsistency).toFixed(0)} %`,
    `${settings.sampler}, ${settings.steps} steps`,
  ]);
  const ofTest = models.slice(0, 1).map(({ testImages }) => [
    "test images",
    "",
    String(testImages.images),
    testImages.frechetDistance.toFixed(2),
    (1000 * testImages.kernelDistance.mean).toFixed(1),
    testImages.classConsistency === null ? "" : `${(100 * testImages.classConsistency).toFixed(0)} %`,
    "",
  ]);
  return [
    "## Shipped models",
    wrap(
      "Distances here are to the training images, as `deno task evaluate` measures them. Bits per dimension are those of the " +
        "variational bound over test images.",
    ),
    "```sh\n" + models.map(({ command }) => command).join("\n") + "\n```",
    wrap(
      `On ${models[0]!.adapter}. Likelihoods are over ${
        models.map(({ likelihood }) => likelihood ? `${likelihood.images} images` : "no images").join(" and ")
      }.`,
    ),
    markdownTable(
      [
        "model",
        "bits per dimension",
        "images",
        "Fréchet distance",
        "kernel distance x 1000",
        "class consistency",
        "sampler",
      ],
      [...rows, ...ofTest],
      1,
    ),
  ];
}
