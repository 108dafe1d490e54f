/** The programs in `examples/`, run with the permissions that their README names, on few images and for few steps. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Outcome } from "../support/command.ts";
import { blocksOf, commandsOf, ROOT } from "../support/documents.ts";
import { decodePng } from "../support/read_png.ts";
import { withServeTask } from "../support/serve_task.ts";
import { makePng } from "../support/synthetic.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const TINY = join(ROOT, "checkpoints/cifar10-tiny");
const LOCAL = ["--allow-read", "--allow-write", "--allow-env"];
const CLIENT = ["--allow-net", "--allow-write"];

/** Runs `examples/NAME.ts` in a directory. */
async function runExample(
  name: string,
  args: readonly string[],
  cwd: string,
  permissions: readonly string[] = LOCAL,
): Promise<Outcome> {
  const config = `--config=${join(ROOT, "deno.json")}`;
  const program = join(ROOT, "examples", `${name}.ts`);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...permissions, "--no-prompt", "--no-check", config, program, ...args],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

/** Runs it, and checks that it succeeds. */
async function outputOf(...args: Parameters<typeof runExample>): Promise<string> {
  const { code, out, err } = await runExample(...args);
  assert.equal(code, 0, `${out}\n${err}`);
  return out;
}

/** A picture, checked to be of more than one colour. */
async function pictureOf(directory: string, name: string): Promise<{ width: number; height: number }> {
  const picture = decodePng(await Deno.readFile(join(directory, name)));
  assert.ok(new Set(picture.rgb).size > 16, `${name} is blank`);
  return picture;
}

Deno.test("every example has its command and its permissions in their README", async () => {
  const programs = Array.from(Deno.readDirSync(join(ROOT, "examples")), ({ name }) => name)
    .filter((name) => name.endsWith(".ts"));
  const commands = (await blocksOf("examples/README.md")).flatMap(commandsOf).map(({ text }) => text);
  const readme = await Deno.readTextFile(join(ROOT, "examples/README.md"));
  for (const name of programs) {
    const command = commands.find((text) => text.startsWith(`deno run -A examples/${name} `));
    assert.ok(command, name);
    const lesson = await Deno.readTextFile(join(ROOT, "examples", name));
    assert.ok(lesson.includes(` *     ${command}\n`), `${name} begins with ${command}`);
    assert.ok(readme.includes(`[\`${name}\`](${name})`), name);
  }
  assert.equal(programs.length, commands.length);
  for (const permissions of [LOCAL, CLIENT]) assert.ok(readme.includes(`\`${permissions.join(" ")}\``));
});

Deno.test("examples/sample.ts draws images of the classes, with their settings in the file", async () => {
  await inTemporaryDirectory(async (directory) => {
    const args = ["--model", TINY, "--class", "cat", "--class", "ship", "--count", "2", "--steps", "2"];
    const out = await outputOf("sample", [...args, "--seed", "5"], directory);
    assert.match(out, /seed 5: cat\nseed 6: cat\nseed 7: ship\nseed 8: ship\nwrote sample\.png/);
    const { width, height } = await pictureOf(directory, "sample.png");
    assert.ok(width > 2 * 4 * 32 && height >= 2 * 4 * 32, "labels, and 2 x 2 images enlarged four times");
    const { text } = decodePng(await Deno.readFile(join(directory, "sample.png")));
    assert.deepEqual([text.class, text.seed], ["cat, cat, ship, ship", "5, 6, 7, 8"]);
  });
});

Deno.test("examples/ddim_by_hand.ts draws what generate() does, but for rounding", async () => {
  await inTemporaryDirectory(async (directory) => {
    const out = await outputOf("ddim_by_hand", ["--model", TINY, "--steps", "6", "--seed", "3"], directory);
    assert.deepEqual(out.match(/t = \d+/g), ["t = 830", "t = 664", "t = 498", "t = 332", "t = 166", "t = 0"]);
    const [, values, different, most] = /of (\d+) values, (\d+) differ .* by at most (\d+)/.exec(out)!;
    assert.equal(values, "3072");
    // A value at the border between two bytes may fall to either side; 1 of 3,072 did.
    assert.ok(Number(different) <= 30 && Number(most) <= 1, out);
    assert.deepEqual((await pictureOf(directory, "ddim.png")).width, 6 * 3 * 32 + 7 * 2);
  });
});

Deno.test("examples/train.ts lowers the loss, and leaves a curve, samples and a model", async () => {
  await inTemporaryDirectory(async (directory) => {
    const args = ["--limit", "96", "--batch", "8", "--epochs", "2", "--out", "lesson"];
    const out = await outputOf("train", args, directory);
    const losses = [...out.matchAll(/validation ([\d.]+)/g)].map(([, loss]) => Number(loss));
    assert.equal(losses.length, 2);
    assert.ok(losses[1] < losses[0], `validation losses ${losses}`);
    for (const name of ["loss.png", "samples-2.png"]) await pictureOf(directory, `lesson/${name}`);
    const drawn = ["--model", "lesson", "--class", "frog", "--count", "1", "--steps", "2"];
    assert.match(await outputOf("sample", drawn, directory), /seed 7: frog/);
  });
});

Deno.test("examples/fine_tune.ts trains a model on a folder of images, and names its classes", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const [name, blue] of [["bird", 0], ["frog", 200]] as const) {
      await Deno.mkdir(join(directory, "pets", name), { recursive: true });
      for (let i = 0; i < 12; i++) {
        const png = await makePng(40, 36, (x, y) => [x * i % 256, y * 5, blue]);
        await Deno.writeFile(join(directory, "pets", name, `${i}.png`), png);
      }
    }
    await Deno.writeTextFile(join(directory, "pets/frog/broken.png"), "no image");
    const args = ["--data", "pets", "--model", TINY, "--steps", "20", "--batch", "8", "--out", "tuned"];
    const out = await outputOf("fine_tune", args, directory);
    assert.match(out, /bird: 12 images\nfrog: 12 images\n/);
    const losses = [...out.matchAll(/training ([\d.]+)/g)].map(([, loss]) => Number(loss));
    assert.ok(losses.at(-1)! < losses[0], `training losses ${losses}`);
    await pictureOf(directory, "tuned/fine-tuned.png");
    const index = JSON.parse(await Deno.readTextFile(join(directory, "tuned/model_index.json")));
    assert.match(JSON.stringify(index), /bird.*frog/);
  });
  const { code, err } = await runExample("fine_tune", [], ROOT);
  assert.equal(code, 1);
  assert.match(err, /--data: expected a folder, zip or tar of images/);
});

Deno.test("examples/server_client.ts gets the same file by both routes, and previews on the way", async () => {
  await inTemporaryDirectory(async (directory) => {
    await withServeTask(["--model", TINY], directory, async (address) => {
      const args = ["--url", address, "--steps", "12"];
      const out = await outputOf("server_client", args, directory, CLIENT);
      assert.match(out, /classes: airplane, .*, truck\n/);
      assert.match(out, /preview after step 5\npreview after step 10\n/);
      assert.match(out, /the stream's image is the same file\n$/);
      for (const name of ["image.png", "preview-5.png", "preview-10.png"]) await pictureOf(directory, name);
      const wrong = await runExample("server_client", [...args, "--class", "unicorn"], directory, CLIENT);
      assert.equal(wrong.code, 1);
      assert.match(wrong.err, /400 .*class/);
    });
  });
});
