import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { checkOptions, settingsIn, type TrainOptions } from "../../lib/train/options.ts";
import { resolveSettings } from "../../lib/train/settings.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { microOptions, patternImages } from "../support/train/micro.ts";

Deno.test("an option that there is not is refused, with the names of those that there are", () => {
  const misspelled = (options: object) => () =>
    checkOptions({ ...microOptions(), ...options } as TrainOptions);
  for (const [name, near] of [["epoch", "epochs"], ["sampleevery", "sampleEvery"], ["toString"]]) {
    assert.throws(misspelled({ [name]: 3 }), (error: Error) => {
      assert.match(error.message, /^options: expected names among accumulate, .*\bepochs, .*\bsampleEvery, /);
      assert.ok(error.message.endsWith(`got "${name}"`), error.message);
      assert.equal(error.message.includes(`(did you mean ${near}?)`), near !== undefined, error.message);
      return error instanceof ConfigError;
    });
  }
  misspelled({ epoch: undefined })();
});

Deno.test("every option can be given: none is an unknown name", () => {
  const shape = { height: 8, width: 8, channels: 3, classes: 2 } as const;
  const { preset: _preset, ...settings } = resolveSettings(settingsIn(microOptions()), SOFTWARE, shape);
  const surroundings = {
    ...{
      data: patternImages(4),
      out: "run",
      resume: true,
      sampleEvery: 1,
      samplesPerClass: 1,
      sampleSteps: 1,
    },
    ...{ guidance: 2, logEvery: 0, signal: new AbortController().signal, gpu: undefined },
  };
  const options = { ...settings, ...surroundings, preset: "auto", conditional: true, dropout: 0 } as const;
  checkOptions(options);
  assert.deepEqual(
    Object.keys(settingsIn(options)).sort(),
    [
      ...Object.keys(settings),
      ...["preset", "conditional", "dropout"],
    ].sort(),
  );
});

Deno.test("resume is true or false, and needs a directory", () => {
  const resume = (value: unknown) => () => checkOptions({ ...microOptions(), resume: value } as TrainOptions);
  assert.throws(resume("no"), /^ConfigError: resume: expected true or false, got "no"/);
  assert.throws(resume(true), /^ConfigError: resume: expected a run directory in `out`, too, got true/);
  resume(false)();
});
