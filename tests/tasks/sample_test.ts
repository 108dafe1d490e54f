import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GIF, Image } from "imagescript";
import { decodePng } from "../support/read_png.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import type { UNetConfig } from "../../lib/model/config.ts";
import { writeForeignPipeline } from "../support/foreign_pipeline.ts";
import { digest, microNetwork } from "../support/train/micro.ts";
import { runTask } from "../support/command.ts";

/** A pipeline of three classes without names, 8 x 8 images. */
const MODEL = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));

Deno.test("--help shows every flag, with its default and unit where it has them", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out } = await runTask("sample", ["--help"], directory);
    assert.equal(code, 0);
    const text = out.replace(/\s+/g, " ");
    for (
      const [flag, ...notes] of [
        ["--model <PATH>", "default: the newest run under runs/"],
        ["--class <NAME>", "all", "none"],
        ["--count <N>", "in images", "default: 8 for one class"],
        ["--steps <N>", "in steps", "default: 15"],
        ["--sampler <NAME>", "ddpm, ddim", "default: unipc"],
        ["--eta <F>", "from 0 to 1", "default: 0"],
        ["--churn-range <LOW,HIGH>", "0.2,2", "default: all"],
        ["--churn-noise <F>", "from 0 to 100", "default: 1"],
        ["--guidance <F>", "default: 2; 1 without a class"],
        ["--guidance-rescale <F>", "from 0 to 1", "default: 0"],
        ["--guidance-interval <LOW,HIGH>", "0.2,2", "default: all"],
        ["--guide <PATH>", "default: none"],
        ["--negative-class <NAME>", "default: none"],
        ["--seed <N>", "default: 0"],
        ["--scale <N>", "from 1 to 16", "default: 2"],
        ["--out <PATH>", "default: samples.png"],
        ["--gif <FILE>", "default: none"],
        ["--precision <TYPE>", "float32, mixed", "default: mixed where", "matrix units"],
        [
          "--tune <WHEN>",
          "auto, on, off",
          "default: auto",
          ".cache",
          "bit-identical only with the same choices",
        ],
      ]
    ) {
      const entry = text.slice(text.indexOf(` ${flag} `)).slice(1).split(/ --[a-z]/)[0];
      for (const note of notes) assert.ok(entry.includes(note), `${flag}: ${note} is not in: ${entry}`);
    }
  });
});

Deno.test("without a trained run, the project's own model draws the classes asked for by name", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out, err } = await runTask(
      "sample",
      ["--class", "cat", "--count", "2", "--steps", "2"],
      directory,
    );
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /^model .*checkpoints[/\\]cifar10 on /m);
    const { text, rgb } = decodePng(await Deno.readFile(join(directory, "samples.png")));
    assert.deepEqual([text.class, text.steps], ["cat", "2"]);
    assert.ok(new Set(rgb).size > 100, "a picture of many values");
  });
});

Deno.test("a row for every class in one picture, with its making in the file, and the way there as a GIF", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--model", MODEL, "--count", "2", "--steps", "4", "--seed", "7", "--guidance", "1.5"];
    const { code, out, err } = await runTask(
      "sample",
      [...flags, "--out", "a/b.png", "--gif", "c.gif"],
      directory,
    );
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /^model .*tiny_pipeline on /m);
    assert.match(out, /^6 images in a\/b\.png$/m);
    assert.match(out, /^animation in c\.gif$/m);
    const bytes = await Deno.readFile(join(directory, "a/b.png"));
    const picture = await Image.decode(bytes) as Image;
    assert.ok(picture.width > 2 * 16 && picture.height > 3 * 16);
    const { text } = decodePng(bytes);
    assert.equal(text.model, "tiny_pipeline");
    assert.deepEqual([text.class, text.seed], ["0, 0, 1, 1, 2, 2", "7, 8, 9, 10, 11, 12"]);
    assert.deepEqual([text.sampler, text.steps, text.guidance], ["unipc", "4", "1.5"]);
    const animation = await GIF.decode(await Deno.readFile(join(directory, "c.gif"))) as GIF;
    assert.equal(animation.length, 4);
    assert.deepEqual(
      [animation.width, animation.height],
      [picture.width, picture.height],
      "with labels, too",
    );
  });
});

Deno.test("models of other programs: grey pictures, a table without a null row, more than 1000 steps", async () => {
  await inTemporaryDirectory(async (directory) => {
    const scheduler = { _class_name: "DDPMScheduler", num_train_timesteps: 1100 };
    const model = async (name: string, options: Partial<UNetConfig>) => {
      await writeForeignPipeline(join(directory, name), { config: microNetwork(options), scheduler });
      return ["--model", name, "--count", "2", "--out", `${name}.png`];
    };
    const grey = await model("grey", { inChannels: 1, outChannels: 1 });
    const classes = await model("classes", { numClassEmbeds: 3 });
    const long = await model("long", {});
    const outcomes = await Promise.all([
      [...grey, "--steps", "3", "--gif", "grey.gif"],
      [...classes, "--class", "2", "--steps", "1"],
      [...classes.slice(0, -1), "all.png", "--steps", "1"],
      [...long, "--steps", "1001"],
    ].map((args) => runTask("sample", args, directory)));
    for (const { code, err } of outcomes) assert.deepEqual([code, err], [0, ""]);

    const picture = await Image.decode(await Deno.readFile(join(directory, "grey.png"))) as Image;
    const pixels = Array.from(
      { length: picture.bitmap.length / 4 },
      (_, i) => picture.bitmap.slice(4 * i, 4 * i + 3),
    );
    assert.ok(pixels.every(([red, green, blue]) => red === green && green === blue));
    const values = new Set(pixels.map(([red]) => red));
    assert.ok(values.has(0) && values.has(255), "an untrained network leaves clipped noise");
    assert.equal((await GIF.decode(await Deno.readFile(join(directory, "grey.gif"))) as GIF).length, 3);

    const textOf = async (name: string) => decodePng(await Deno.readFile(join(directory, name))).text;
    const { class: name, guidance } = await textOf("classes.png");
    assert.deepEqual([name, guidance], ["2", "1"]);
    assert.match(outcomes[1].out, /^warning: classes: all 3 rows of its class table are classes/m);
    assert.equal((await textOf("all.png")).class, "0, 0, 1, 1, 2, 2");
    assert.equal((await textOf("long.png")).steps, "1001");

    const refused = await runTask("sample", [...classes, "--guidance", "2"], directory);
    assert.match(
      refused.err,
      /^error: --guidance: expected 1, since the class table of this model has no row for "no class"/,
    );
  });
});

Deno.test("the noise that EDM's sampler adds back has its flags, and is in the metadata", async () => {
  await inTemporaryDirectory(async (directory) => {
    const drawn = async (...flags: string[]) => {
      const model = ["--model", MODEL, "--class", "1", "--count", "1", "--sampler", "edm", "--steps", "4"];
      const { code, err } = await runTask("sample", [...model, "--churn", "2", ...flags], directory);
      assert.deepEqual([code, err], [0, ""]);
      return decodePng(await Deno.readFile(join(directory, "samples.png")));
    };
    const [everywhere, limited] = [
      await drawn(),
      await drawn("--churn-range", "0.1,5", "--churn-noise", "1.5"),
    ];
    const { churn, churn_range, churn_noise } = limited.text;
    assert.deepEqual([churn, churn_range, churn_noise], ["2", "0.1 to 5", "1.5"]);
    assert.equal(everywhere.text.churn_range, undefined);
    assert.notDeepEqual(limited.rgb, everywhere.rgb);
  });
});

Deno.test("an animation is drawn in batches, too, and the batch changes nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--model", MODEL, "--count", "2", "--steps", "3", "--seed", "7", "--scale", "8"];
    const outcomes = await Promise.all(["1", "4", "64"].map((batch) => {
      const files = ["--out", `${batch}.png`, "--gif", `${batch}.gif`];
      return runTask("sample", [...flags, "--batch", batch, ...files], directory);
    }));
    for (const { code, err } of outcomes) assert.deepEqual([code, err], [0, ""]);
    const digests = (end: string) =>
      Promise.all(
        ["1", "4", "64"].map(async (batch) =>
          digest(await Deno.readFile(join(directory, `${batch}.${end}`)))
        ),
      );
    for (const end of ["png", "gif"]) assert.equal(new Set(await digests(end)).size, 1, end);
    // 6 images in batches of 4 are two batches of three steps each, drawn once.
    assert.deepEqual(outcomes[1].out.match(/^drawing .*$/gm), ["drawing 6 images, steps  6/6"]);
    const alone = await runTask("sample", [...flags, "--out", "alone.png"], directory);
    assert.equal(alone.code, 0);
    assert.deepEqual(
      await Deno.readFile(join(directory, "alone.png")),
      await Deno.readFile(join(directory, "4.png")),
    );
  });
});

Deno.test("one image is itself enlarged; the same seed gives the same file, and in a directory the same image", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--model", MODEL, "--steps", "3", "--sampler", "ddpm", "--seed", "5", "--quiet"];
    const runs = await Promise.all([
      runTask(
        "sample",
        [...flags, "--class", "2", "--count", "1", "--scale", "3", "--out", "one.png"],
        directory,
      ),
      runTask(
        "sample",
        [...flags, "--class", "2", "--count", "1", "--scale", "3", "--out", "two.png"],
        directory,
      ),
      runTask(
        "sample",
        [...flags, "--class", "2", "--count", "3", "--scale", "3", "--out", "many"],
        directory,
      ),
    ]);
    for (const { code, out, err } of runs) assert.deepEqual([code, out, err], [0, "", ""]);
    const one = await Deno.readFile(join(directory, "one.png"));
    const picture = await Image.decode(one) as Image;
    assert.deepEqual([picture.width, picture.height], [24, 24]);
    assert.deepEqual(await Deno.readFile(join(directory, "two.png")), one);
    const names = [...Deno.readDirSync(join(directory, "many"))].map(({ name }) => name).sort();
    assert.deepEqual(names, ["2-5.png", "2-6.png", "2-7.png"]);
    assert.deepEqual(await Deno.readFile(join(directory, "many/2-5.png")), one);
  });
});

Deno.test("a class's name cannot lead out of the directory", async () => {
  await inTemporaryDirectory(async (directory) => {
    const model = join(directory, "model");
    for (const part of ["unet", "scheduler"]) {
      await Deno.mkdir(join(model, part), { recursive: true });
      for await (const { name } of Deno.readDir(join(MODEL, part))) {
        await Deno.copyFile(join(MODEL, part, name), join(model, part, name));
      }
    }
    const index = JSON.parse(await Deno.readTextFile(join(MODEL, "model_index.json")));
    const labels = { ...index, _class_labels: ["../../evil", "große Katze", "owl"] };
    await Deno.writeTextFile(join(model, "model_index.json"), JSON.stringify(labels));
    const flags = ["--model", model, "--steps", "1", "--count", "1", "--out", "out/deep"];
    const { code, err } = await runTask("sample", flags, directory);
    assert.deepEqual([code, err], [0, ""]);
    const names = [...Deno.readDirSync(join(directory, "out/deep"))].map(({ name }) => name).sort();
    assert.deepEqual(names, ["______evil-0.png", "große Katze-1.png", "owl-2.png"]);
  });
});

Deno.test("a request that cannot be met is one line with what is allowed, and writes nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string[], number, RegExp][] = [
      [["--model", "nowhere"], 1, /^error: nowhere: no such file or directory; expected .*\n$/],
      [
        ["--model", MODEL, "--class", "cat"],
        2,
        /^error: --class: expected a number from 0 to 2, all, any, or none, got "cat"\n$/,
      ],
      [
        ["--negative-class", "kat"],
        2,
        /^error: --negative-class: expected airplane, .*, or none \(did you mean cat\?\), got "kat"\n$/,
      ],
      [
        ["--class", "dog:0.5,kat:0.5"],
        2,
        /^error: --class: expected airplane, .*, or none \(did you mean cat\?\), got "kat"\n$/,
      ],
      [
        ["--class", "kat"],
        2,
        /^error: --class: expected airplane, .*, all, any, or none \(did you mean cat\?\), got "kat"\n$/,
      ],
      [["cat"], 2, /^error: 'cat' belongs to no option\n\(Did you mean --class cat\?\)/],
      [
        ["--model", `${MODEL}/model_index.json`],
        2,
        /^error: --model: expected a directory, or a file of weights \(.*\), got ".*model_index\.json"\n$/,
      ],
      [["--model", MODEL, "--sampler", "ddpm", "--eta", "0.5"], 2, /^error: --eta: /],
      [
        ["--model", MODEL, "--sampler", "heun", "--churn-noise", "1"],
        2,
        /^error: --churn-noise: expected no value with sampler heun, only with edm/,
      ],
      [
        ["--model", MODEL, "--class", "none", "--guidance", "3"],
        2,
        /^error: --guidance: expected 1 where no class/,
      ],
      [
        ["--model", MODEL, "--count", "4096", "--out", "much.png"],
        2,
        /^error: --count: expected fewer images or a smaller --scale in one picture, .*\(width: .*\), got 4096\n$/,
      ],
      [
        ["--model", MODEL, "--count", "4096", "--gif", "much.gif", "--out", "many"],
        2,
        /^error: --count: expected fewer images .* without --gif \(width: /,
      ],
      [
        ["--model", "nowhere", "--out", "cats.jpg"],
        2,
        /^error: --out: expected a file NAME\.png, or a directory, got "cats\.jpg"\n$/,
      ],
      [["--model", "nowhere", "--gif", "cats.png"], 2, /^error: --gif: expected a file NAME\.gif, got/],
      [
        ["--model", MODEL, "--out", `${MODEL}/model_index.json/a.png`],
        2,
        /^error: --out: expected a path in a directory/,
      ],
      [["--model", MODEL, "--gif", "."], 2, /^error: --gif: expected a file NAME\.gif/],
      [["--model", MODEL, "--cuont", "3"], 2, /unknown option '--cuont'\n\(Did you mean --count\?\)/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => runTask("sample", args, directory)));
    for (const [i, { code, out, err }] of outcomes.entries()) {
      assert.match(err, cases[i][2]);
      assert.match(out, /^(warning: .* no digests .*\n)?$/);
      assert.equal(code, cases[i][1], cases[i][0].join(" "));
    }
    const none = await runTask("sample", ["--model", MODEL], directory, { DENO_WEBGPU_BACKEND: "bogus" });
    assert.match(none.err, /^error: no WebGPU adapter was found\./);
    assert.equal(none.code, 1);
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  });
});
