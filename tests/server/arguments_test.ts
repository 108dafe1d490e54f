import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { parseSettings } from "../../server/arguments.ts";
import { defaultSettings } from "../../server/settings.ts";

const whole = { ...defaultSettings, models: [{ name: "a", path: "runs/a" }] };
const everything = {
  ...whole,
  models: [...whole.models, { name: "b", path: "runs/b", guide: "runs/weak" }],
  memory: 512,
  steps: 20,
  maxSteps: 100,
  guidance: 1.5,
  tokenFile: "token",
  cors: "https://example.org",
  freePorts: [61000, 65535],
  trustedProxy: ["10.0.0.1", "fd00::1"],
  publicUrl: "https://example.org/images",
  jobs: "jobs.db",
  maxJobs: 1,
  keepJobs: 0.5,
  webhookHosts: ["hooks.example.org:443", "10.0.0.1:80"],
  precision: "mixed",
  tune: "on",
};

Deno.test("settings come through as they were given, those left out stay undefined", () => {
  for (const settings of [whole, everything]) {
    assert.deepEqual(parseSettings(JSON.stringify(settings)), settings);
  }
});

Deno.test("every argument that is missing, of another type, out of range or unknown is named", () => {
  const cases: [unknown, ...RegExp[]][] = [
    [{ ...whole, models: [{ name: "a", path: "" }] }, /models\.0\.path: expected non-empty text/],
    [{ ...whole, models: [] }, /models: expected at least one model/],
    [{ ...whole, models: [{ name: 3 }], host: 3 }, /models\.0\.name: expected text/, /host: expected text/],
    [{ ...whole, memory: 0 }, /memory: expected a number from 1 to/],
    [{ ...whole, port: "8000" }, /port: expected a number from 0 to 65535/],
    [{ ...whole, port: 65536 }, /port: expected a number from 0 to 65535/],
    [{ ...whole, port: 80.5 }, /port: expected a whole number/],
    [{ ...whole, freePorts: [] }, /freePorts: expected at least one port/],
    [{ ...whole, freePorts: [-1] }, /freePorts\.0: expected a number from 0 to 65535/],
    [{ ...whole, maxBatch: 0 }, /maxBatch: expected a number from 1/],
    [{ ...whole, queue: -1, timeout: 0 }, /queue: expected/, /timeout: expected a number from 0.1/],
    [{ ...whole, grace: -1 }, /grace: expected a number from 0 to 86400/],
    [{ ...whole, steps: null, guidance: "2" }, /steps: expected/, /guidance: expected/],
    [{ ...whole, sampler: "eulr" }, /sampler: expected ddpm, ddim, euler/],
    [{ ...whole, precision: "int8" }, /precision: expected float32 or mixed/],
    [{ ...whole, tune: "always" }, /tune: expected auto, on or off/],
    [
      { ...whole, maxSteps: 100_001, maxWork: 0 },
      /maxSteps: expected a number from 1 to 100000/,
      /maxWork: expected/,
    ],
    [{ ...whole, maxUpload: 0.5 }, /maxUpload: expected/],
    [
      { ...whole, jobs: "", keepJobs: 0 },
      /jobs: expected non-empty text/,
      /keepJobs: expected a number from/,
    ],
    [{ ...whole, maxImages: 1e9 }, /maxImages: expected a number from 1 to 4096/],
    [
      { ...whole, trustedProxy: "10.0.0.1", publicUrl: "here" },
      /trustedProxy: /,
      /publicUrl: expected a URL/,
    ],
    [{ ...whole, write: true }, /write/],
    [[whole], /expected object/i],
  ];
  for (const [settings, ...messages] of cases) {
    for (const message of messages) {
      assert.throws(
        () => parseSettings(JSON.stringify(settings)),
        (error) => error instanceof ConfigError && message.test(error.message),
        JSON.stringify(settings),
      );
    }
  }
});

Deno.test("anything but one JSON object is refused with the way to start the server", () => {
  for (const text of [undefined, "", "{", "--help"]) {
    assert.throws(
      () => parseSettings(text),
      /settings: expected one JSON object; start the server with `deno task serve`/,
    );
  }
});
