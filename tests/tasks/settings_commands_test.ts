/** Settings files of all commands: their schemas, in an editor's language service, and what `--print-settings` prints. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Ajv } from "ajv";
import {
  getLanguageService,
  type JSONDocument,
  type LanguageService,
  TextDocument,
} from "vscode-json-languageservice";
import { SETTINGS_COMMANDS, settingsFileSchemas } from "../../tasks/settings_commands.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Flags that give other values than the defaults, by command. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  train: ["--data", "pets", "--size", "48x64", "--background", "black", "--no-flip", "--image-cache", "none"],
  sample: ["--churn-range", "0.2,inf", "--steps", "5", "--class", "cat", "--profile", "--gif", "a.gif"],
  edit: ["--images", "a.png,b.png", "--seeds", "1,2", "--invert", "--guidance-interval", "0.5,2"],
  evaluate: ["--export", "npz", "--batch", "5", "--classifier", "c", "--channels", "1"],
  serve: [
    ...[
      "--host",
      "[::1]",
      "--trusted-proxy",
      "10.0.0.2, ::1",
      "--webhook-hosts",
      "a.example.org,[fd00::1]:9000",
    ],
    ...[
      "--public-url",
      "https://a.example.org/x",
      "--cors",
      "*",
      "--token-file",
      "token",
      "--timeout",
      "0.5",
    ],
  ],
  export: ["--ema-sigma", "0.1", "--sampler", "edm"],
  "train-classifier": ["--lr", "1e-3", "--preset", "small", "--fit", "pad"],
  "quality-samplers": ["--samplers", "dpm++2m,unipc:linspace", "--evaluations", "5,10", "--time", "3"],
  "quality-recipes": ["--config", "network.json", "--guidance", "1.5"],
  bench: ["--json", "--only", "conv", "--max-loss", "10"],
  "bench-serve": ["--clients", "1,3", "--json", "a.json"],
};

Deno.test("schemas/ has the schema of each command's settings files, and no others", async () => {
  const schemas = settingsFileSchemas();
  const names = await Array.fromAsync(
    Deno.readDir(new URL("../../schemas/", import.meta.url)),
    ({ name }) => `schemas/${name}`,
  );
  assert.deepEqual(names.sort(), [...schemas.keys()].sort());
  assert.deepEqual(Object.keys(FLAGS).sort(), Object.keys(SETTINGS_COMMANDS).sort());
  for (const [path, text] of schemas) {
    const { $id } = JSON.parse(text);
    assert.equal($id, `https://jsr.io/@denoise/ddpm/${$id.split("/").at(-3)}/${path}`);
  }
});

Deno.test("what a command prints of its settings is valid, and gives the same settings again", async () => {
  const ajv = new Ajv({
    strict: true,
    allowUnionTypes: true,
    keywords: ["allowComments", "allowTrailingCommas"],
  });
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "settings.json");
    for (const [name, make] of Object.entries(SETTINGS_COMMANDS)) {
      const validate = ajv.compile(make().settingsSchema());
      for (const args of [[], FLAGS[name]!]) { // as checked above
        const command = make();
        command.read(args);
        const printed = command.printedSettings("json");
        const settings: object = JSON.parse(printed);
        assert.ok(validate(settings), `${name}: ${JSON.stringify(validate.errors)}\n${printed}`);
        await Deno.writeTextFile(file, printed);
        const again = make();
        again.read(["--settings", file]);
        assert.equal(again.printedSettings("json"), printed, name);
        const words = args.filter((arg) => arg.startsWith("--"));
        assert.ok(Object.keys(settings).length > words.length, "all flags are printed");
      }
    }
  });
});

/** An editor with a settings file of `deno task train` open, the cursor at `|`. */
interface Editor {
  readonly service: LanguageService;
  readonly document: TextDocument;
  readonly parsed: JSONDocument;
  readonly cursor: { readonly line: number; readonly character: number };
}

function open(name: string, text: string): Editor {
  const [before = "", after = ""] = text.split("|");
  const uri = import.meta.resolve("../../runs/settings.json");
  const service = getLanguageService({
    schemaRequestService: (uri) => Deno.readTextFile(new URL(uri)),
    workspaceContext: { resolveRelativePath: (path, resource) => new URL(path, resource).href },
  });
  const opening = before.replace("{", `{ "$schema": "../schemas/${name}.json",`);
  const document = TextDocument.create(uri, "json", 1, opening + after);
  const parsed = service.parseJSONDocument(document);
  return { service, document, parsed, cursor: document.positionAt(opening.length) };
}

async function completions(name: string, text: string): Promise<string[]> {
  const { service, document, parsed, cursor } = open(name, text);
  return (await service.doComplete(document, cursor, parsed))?.items.map(({ label }) => label) ?? [];
}

async function problems(name: string, text: string): Promise<string[]> {
  const { service, document, parsed } = open(name, text);
  return (await service.doValidation(document, parsed)).map(({ message }) => String(message));
}

Deno.test("an editor completes names and words, and explains a setting", async () => {
  const names = await completions("train", '{ "ep|" }');
  for (const name of ["epochs", "eps", "data", "labelDropout", "outs"]) {
    assert.equal(names.includes(name), name !== "outs", name);
  }
  const words = await completions("train", '{ "objective": | }');
  assert.deepEqual(words.sort(), ['"edm"', '"epsilon"', '"flow"', '"v"', '"x0"']);
  assert.ok((await completions("sample", '{ "sampler": "|" }')).includes('"unipc"'));
  assert.ok((await completions("train", '{ "imageCache": | }')).includes('"none"'));
  const { service, document, parsed, cursor } = open("train", '{ "bat|ch": 32 }');
  const hover = await service.doHover(document, cursor, parsed);
  assert.match(
    JSON.stringify(hover?.contents),
    /Images per forward and backward pass .*in images; a whole number from 1 to 65535/,
  );
});

Deno.test("an editor marks a misspelt name, a wrong value, and nothing that is right", async () => {
  assert.deepEqual(await problems("train", '{ "epoch": 3 }'), ["Property epoch is not allowed."]);
  assert.match((await problems("train", '{ "epochs": 0 }')).join(), /below the minimum of 1/);
  assert.match((await problems("train", '{ "objective": "w" }')).join(), /Valid values: "epsilon", "v"/);
  assert.match((await problems("train", '{ "batch": "32" }')).join(), /Expected "integer"/);
  assert.match((await problems("train", '{ "epochs": null }')).join(), /Missing property "steps"/);
  const right =
    '{ "data": "images", "size": "48x64", // both\n "epochs": null, "steps": 5, "betas": [0.1, 0.2], }';
  assert.deepEqual(await problems("train", right), []);
  assert.deepEqual(await problems("serve", '{ "port": 8001, "trustedProxy": ["::1"] }'), []);
});

Deno.test("the project's own models stay names in a settings file; other models are paths from its folder", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "sample.json");
    for (
      const [model, taken] of [
        ["cifar10", "cifar10"],
        ["runs/first", join(directory, "runs/first")],
        ["https://example.org/cats", "https://example.org/cats"],
      ] as const
    ) {
      await Deno.writeTextFile(file, JSON.stringify({ model, guide: model }));
      const { model: read, guide } = SETTINGS_COMMANDS.sample!()
        .read<{ model: string; guide: string }>(["--settings", file]);
      assert.deepEqual([read, guide], [taken, taken]);
    }
    await Deno.mkdir(join(directory, "cifar10"));
    await Deno.writeTextFile(file, '{ "model": "cifar10" }');
    assert.deepEqual(
      SETTINGS_COMMANDS.sample!().read<{ model: string }>(["--settings", file]).model,
      join(directory, "cifar10"),
    );
  });
});
