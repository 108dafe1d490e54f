import assert from "node:assert/strict";
import { EMULATED_MATRICES } from "../../kernels/target.ts";
import { ConfigError } from "../../lib/errors.ts";
import { unetConfigFromJson, unetConfigToJson } from "../../lib/model/config.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { hasPresets, type Setting } from "../../lib/train/setting.ts";
import { TRAINING_SETTINGS } from "../../lib/train/settings_table.ts";
import {
  AUTO_SOFTWARE_LIMIT,
  PRESET_DEFAULTS,
  readStoredSettings,
  resolveSettings,
  resumeSettings,
  type SettingsOptions,
  type TrainSettings,
} from "../../lib/train/settings.ts";
import { MATRIX_GPU, OLD_GPU, PLAIN_GPU, SOFTWARE } from "../support/adapters.ts";
import { microNetwork } from "../support/train/micro.ts";

const CIFAR = { height: 32, width: 32, channels: 3, classes: 10 } as const;

function resolve(options: SettingsOptions = {}, adapter = PLAIN_GPU): TrainSettings {
  return resolveSettings(options, adapter, CIFAR);
}

function refusal(body: () => unknown): string {
  let message = "";
  assert.throws(body, (error: Error) => {
    message = error.message;
    return error instanceof ConfigError;
  });
  return message;
}

Deno.test("auto is small on a GPU, and tiny on some of the images on a software adapter", () => {
  const gpu = resolve();
  assert.deepEqual([gpu.preset, gpu.limit, gpu.batch], ["small", null, 128]);
  assert.deepEqual(gpu.model, presetConfig("small", 10));
  const software = resolve({ preset: "auto" }, SOFTWARE);
  assert.deepEqual([software.preset, software.limit, software.epochs], ["tiny", AUTO_SOFTWARE_LIMIT, 5]);
  assert.equal(resolve({ limit: null }, SOFTWARE).limit, null);
  assert.equal(resolve({ limit: 45000 }, SOFTWARE).limit, 45000);
});

Deno.test("a preset or network asked for by name is taken whole on any adapter", () => {
  assert.deepEqual(
    [resolve({ preset: "tiny" }, SOFTWARE).limit, resolve({ preset: "ddpm" }, SOFTWARE).limit],
    [
      null,
      null,
    ],
  );
  const own = resolve({ model: microNetwork({ sampleSize: 32 }) }, SOFTWARE);
  assert.deepEqual([own.preset, own.limit, own.batch], ["custom", null, PRESET_DEFAULTS.tiny.batch]);
});

Deno.test("the ddpm preset trains as Ho et al. 2020 did", () => {
  const { batch, lr, warmup, ema, clip, beta1, beta2, eps, weightDecay, flip, objective, model } = resolve({
    preset: "ddpm",
  });
  assert.deepEqual([batch, lr, warmup, ema, clip, flip, objective], [
    128,
    2e-4,
    5000,
    0.9999,
    1,
    true,
    "epsilon",
  ]);
  assert.deepEqual([beta1, beta2, eps, weightDecay], [0.9, 0.999, 1e-8, 0]);
  assert.deepEqual([model.dropout, model.blockOutChannels], [0.1, [128, 256, 256, 256]]);
});

Deno.test("the defaults of the presets are all those that differ between them", () => {
  const differing = Object.entries<Setting>(TRAINING_SETTINGS)
    .filter(([, setting]) => hasPresets(setting.default)).map(([name]) => name);
  for (const defaults of Object.values(PRESET_DEFAULTS)) {
    assert.deepEqual(Object.keys(defaults).sort(), differing.sort());
  }
});

Deno.test("classes, dropout and size of the network follow the other settings", () => {
  assert.equal(resolve().model.numClassEmbeds, 11);
  assert.equal(resolve({ conditional: false }).model.numClassEmbeds, null);
  assert.equal(resolve({ model: microNetwork({ numClassEmbeds: 5 }) }).model.numClassEmbeds, 11);
  assert.equal(resolve({ model: microNetwork({ dropout: 0.3 }) }).model.dropout, 0.3);
  assert.equal(resolve({ model: microNetwork({ dropout: 0.3 }), dropout: 0.2 }).model.dropout, 0.2);
  assert.equal(resolve({ preset: "small", dropout: 0 }).model.dropout, 0);
  const { model } = resolveSettings({ preset: "tiny" }, SOFTWARE, {
    height: 16,
    width: 24,
    channels: 3,
    classes: 3,
  });
  assert.deepEqual([model.sampleSize, model.numClassEmbeds], [[16, 24], 4]);
});

Deno.test("an option that is undefined takes its default", () => {
  assert.deepEqual(
    resolve({ lr: undefined, batch: undefined, limit: undefined, preset: undefined }),
    resolve(),
  );
});

Deno.test("a setting out of range is refused by name, value and what is allowed", () => {
  const cases: [SettingsOptions, string][] = [
    [
      { preset: "huge" as "small" },
      'preset: expected auto, tiny, small, small-64, small-128 or ddpm, got "huge"',
    ],
    [{ epochs: 0 }, "epochs: expected a whole number from 1 to 1000000, got 0"],
    [{ steps: 1.5 }, "steps: expected a whole number from 1 to 1000000000, got 1.5"],
    [{ limit: 0 }, "limit: expected a whole number from 1 to 1000000000, got 0"],
    [{ batch: NaN }, "batch: expected a whole number from 1 to 65535, got NaN"],
    [{ batch: 65536 }, "batch: expected a whole number from 1 to 65535, got 65536"],
    [{ accumulate: 0 }, "accumulate: expected a whole number from 1 to 4096, got 0"],
    [{ warmup: -1 }, "warmup: expected a whole number from 0 to 1000000000, got -1"],
    [{ seed: 2 ** 53 }, "seed: expected a whole number from 0 to 9007199254740991, got 9007199254740992"],
    [{ lr: 0 }, "lr: expected a number above 0 and at most 1, got 0"],
    [{ lr: Infinity }, "lr: expected a number above 0 and at most 1, got Infinity"],
    [{ beta1: 1 }, "beta1: expected a number from 0 to below 1, got 1"],
    [{ beta2: -0.1 }, "beta2: expected a number from 0 to below 1, got -0.1"],
    [{ eps: 0 }, "eps: expected a number above 0 and at most 1, got 0"],
    [{ weightDecay: 2 }, "weightDecay: expected a number from 0 to 1, got 2"],
    [{ ema: 1 }, "ema: expected a number from 0 to below 1, got 1"],
    [{ clip: -1 }, "clip: expected a number from 0 to 1000000000, got -1"],
    [{ clip: 1e10 }, "clip: expected a number from 0 to 1000000000, got 10000000000"],
    [{ labelDropout: 1.1 }, "labelDropout: expected a number from 0 to 1, got 1.1"],
    [{ dropout: 1 }, "dropout: expected a number in [0, 1), got 1"],
    [{ onNonFinite: "go" as "skip" }, 'onNonFinite: expected stop or skip, got "go"'],
    [
      { precision: "float8" as "mixed" },
      'precision: expected float32 or mixed (did you mean float32?), got "float8"',
    ],
    [
      { precision: "float16" as "mixed" },
      "precision: expected float32, or mixed with backend dawn on a GPU with matrix units (float16 without them ran at " +
      '0.53 x float32 on an NVIDIA H200), got "float16"',
    ],
    [
      { objective: "noise" as "epsilon" },
      'objective: expected epsilon, v, x0, flow or edm, got "noise"',
    ],
    [
      { objective: "edm", flowTimes: "logit-normal" },
      'flowTimes: expected uniform with objective edm: only flow draws t, got "logit-normal"',
    ],
    [
      { objective: "flow", schedule: "cosine" },
      'schedule: expected linear with objective flow, which has no schedule of betas, got "cosine"',
    ],
    [
      { objective: "edm", zeroTerminalSnr: true },
      "zeroTerminalSnr: expected false with objective edm, which has no schedule of betas, got true",
    ],
    [
      { objective: "flow", weighting: "p2" },
      'weighting: expected none with objective flow, whose distribution of noise levels is its weighting, got "p2"',
    ],
    [{ gamma: 2 }, "gamma: expected null with weighting none, got 2"],
    [{ weighting: "min-snr", p2K: 2 }, "p2K: expected 1 with weighting min-snr: only p2 has a k, got 2"],
    [{ huberDelta: 2 }, "huberDelta: expected 1 with loss mse: only huber has a delta, got 2"],
    [{ timesteps: 100_001 }, "timesteps: expected a whole number from 2 to 100000, got 100001"],
    [
      { timesteps: 100_000 },
      "timesteps: expected fewer timesteps or smaller betas: less than 1e-30 of the signal is left at timestep 36717, " +
      "got 100000",
    ],
    [
      { betas: Array(100).fill(0.9) },
      "betas: expected fewer timesteps or smaller betas: less than 1e-30 of the signal is left at timestep 59, " +
      "got [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, …]",
    ],
    [
      { betas: [0.1, 0.2], timesteps: 2 },
      "timesteps: expected 1000 beside betas, which say both, got 2",
    ],
    [
      { zeroTerminalSnr: true },
      "zeroTerminalSnr: expected false with objective epsilon: in pure noise the noise says nothing of the image, " +
      "got true",
    ],
    [
      { schedule: "scaled_linear" as "linear" },
      "schedule: expected linear, scaled-linear, cosine, sigmoid or laplace (did you mean scaled-linear?), got " +
      '"scaled_linear"',
    ],
    [
      { objective: "flows" as "flow" },
      'objective: expected epsilon, v, x0, flow or edm (did you mean flow?), got "flows"',
    ],
  ];
  for (const [options, message] of cases) assert.equal(refusal(() => resolve(options)), message);
});

Deno.test("a schedule may have as many timesteps as leave some of the image", () => {
  for (const schedule of ["cosine", "laplace"] as const) {
    assert.equal(resolve({ schedule, timesteps: 100_000 }).timesteps, 100_000);
  }
});

Deno.test("a setting that is true or false is nothing else", () => {
  for (const [field, value] of [["flip", "no"], ["flip", 1], ["conditional", "false"]] as const) {
    const options = { [field]: value } as unknown as SettingsOptions;
    const shown = typeof value === "string" ? `"${value}"` : value;
    assert.equal(refusal(() => resolve(options)), `${field}: expected true or false, got ${shown}`);
  }
});

Deno.test("on resume epochs, steps, the precision and what to do about NaN may change", () => {
  const stored = JSON.parse(JSON.stringify(resolve({ preset: "tiny", steps: 100 }))) as TrainSettings;
  assert.deepEqual(resumeSettings(stored, {}), stored);
  assert.deepEqual(resumeSettings(stored, { epochs: 9, steps: null, onNonFinite: "skip" }), {
    ...stored,
    epochs: 9,
    steps: null,
    onNonFinite: "skip",
  });
  assert.deepEqual(resumeSettings(stored, { precision: "mixed" }), { ...stored, precision: "mixed" });
  assert.match(refusal(() => resumeSettings(stored, { epochs: -1 })), /^epochs: expected a whole number/);
});

Deno.test("epochs may be left open where a number of steps is given, and only there", () => {
  const message = "epochs: expected a whole number where `steps` is null: a run must end, got null";
  const open = resolve({ preset: "tiny", epochs: null, steps: 100 });
  assert.deepEqual([open.epochs, open.steps], [null, 100]);
  assert.equal(refusal(() => resolve({ epochs: null })), message);
  assert.equal(refusal(() => resolve({ epochs: null, steps: null })), message);
  const stored = JSON.parse(JSON.stringify(open)) as TrainSettings;
  assert.deepEqual(resumeSettings(stored, {}), stored);
  assert.deepEqual(resumeSettings(stored, { epochs: 3, steps: null }), { ...stored, epochs: 3, steps: null });
  assert.equal(refusal(() => resumeSettings(stored, { steps: null })), message);
});

Deno.test("settings stored by versions that could not leave epochs open are read as open", () => {
  const stored = resolve({ preset: "tiny" });
  assert.deepEqual(readStoredSettings(stored), stored);
  const open = { ...stored, epochs: null, steps: 100 };
  assert.deepEqual(readStoredSettings({ ...stored, epochs: 1_000_000, steps: 100 }), open);
  assert.deepEqual(readStoredSettings(open), open);
  const asked = { ...stored, epochs: 1_000_000, steps: null };
  assert.deepEqual(readStoredSettings(asked), asked);
  assert.deepEqual(readStoredSettings({ ...stored, steps: 100 }), { ...stored, steps: 100 });
});

Deno.test("a setting that came after a run was stored has its default; one that is never left out is missed", () => {
  const { precision: _, checkpointActivations: __, ...before } = resolve({ preset: "tiny" });
  const { precision, checkpointActivations } = readStoredSettings(before as TrainSettings);
  assert.deepEqual([precision, checkpointActivations], ["float32", false]);
  const { lr: ___, ...damaged } = resolve({ preset: "tiny" });
  assert.match(
    refusal(() => readStoredSettings(damaged as TrainSettings)),
    /^lr: expected .* got undefined$/,
  );
});

Deno.test("the precision is mixed where the adapter has matrix units, and stored as what it was resolved to", () => {
  const precisionOn = (adapter: typeof PLAIN_GPU) => resolve({}, adapter).precision;
  assert.equal(precisionOn(MATRIX_GPU), "mixed");
  for (
    const adapter of [
      SOFTWARE,
      PLAIN_GPU,
      { ...MATRIX_GPU, features: OLD_GPU.features },
      { ...PLAIN_GPU, matrices: EMULATED_MATRICES },
    ]
  ) assert.equal(precisionOn(adapter), "float32", adapter.name);
  assert.equal(resolve({ precision: "float32" }, MATRIX_GPU).precision, "float32");
  const stored = JSON.parse(JSON.stringify(resolve({}, PLAIN_GPU))) as TrainSettings;
  assert.equal(resumeSettings(readStoredSettings(stored), {}).precision, "float32");
});

Deno.test("a run stored in float16 is in mixed precision", () => {
  const stored = { ...resolve({ preset: "tiny" }), precision: "float16" } as unknown as TrainSettings;
  assert.equal(readStoredSettings(stored).precision, "mixed");
});

Deno.test("on resume settings that agree or are left open are no change, on any adapter", () => {
  const stored = resolve({ preset: "small", dropout: 0.2 });
  for (
    const given of [
      { preset: "auto" },
      { preset: "small", dropout: 0.2, conditional: true, batch: 128, limit: null },
      { model: stored.model },
      { model: unetConfigFromJson(unetConfigToJson(stored.model)), preset: "small" },
      { lr: undefined, preset: undefined, dropout: undefined },
    ] as SettingsOptions[]
  ) assert.deepEqual(resumeSettings(stored, given), stored);
});

Deno.test("on resume any other setting that differs is refused by name", () => {
  const stored = resolve({ preset: "small", seed: 3 });
  const cases: [SettingsOptions, RegExp][] = [
    [{ preset: "tiny" }, /^preset: expected "small", with which this run was started \(it cannot change/],
    [{ lr: 1e-3 }, /^lr: expected 0\.0002, .* got 0\.001$/],
    [{ limit: 100 }, /^limit: expected null, .* got 100$/],
    [{ seed: 4 }, /^seed: expected 3, /],
    [{ flip: false }, /^flip: expected true, /],
    [{ objective: "x0" }, /^objective: expected "epsilon", /],
    [{ conditional: false }, /^conditional: expected true, /],
    [{ dropout: 0 }, /^dropout: expected 0\.1, .* got 0$/],
    [{ model: presetConfig("tiny", 10) }, /^model: expected the network, with which this run was started/],
  ];
  for (const [given, message] of cases) assert.match(refusal(() => resumeSettings(stored, given)), message);
});
