import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { ConfigError } from "../../lib/errors.ts";
import { type BackendOptions, describeBackend } from "../../lib/gpu/backend.ts";
import { chooseBackend } from "../../lib/gpu/open.ts";
import { dawnOptions } from "../../lib/gpu/dawn/instance.ts";
import { DAWN_PACKAGE } from "../../lib/gpu/dawn/package.ts";
import { withEnvironment } from "../support/environment.ts";

/** Selection with the given environment variables. */
function choose(options: BackendOptions, variables: Record<string, string> = {}) {
  const unset = { DENOISE_BACKEND: undefined, DENOISE_DAWN_TOGGLES: undefined };
  return withEnvironment({ ...unset, ...variables }, () => chooseBackend(options));
}

Deno.test("the backend is that of the option, else of the environment, else deno", async () => {
  assert.deepEqual(await choose({}), { backend: "deno", toggles: [] });
  assert.deepEqual(await choose({}, { DENOISE_BACKEND: "" }), { backend: "deno", toggles: [] });
  assert.deepEqual(await choose({}, { DENOISE_BACKEND: "dawn" }), { backend: "dawn", toggles: [] });
  assert.deepEqual(await choose({ backend: "deno" }, { DENOISE_BACKEND: "dawn" }), {
    backend: "deno",
    toggles: [],
  });
});

Deno.test("toggles are those of the option, else of the environment, in sorted order, and never with deno", async () => {
  const variables = { DENOISE_DAWN_TOGGLES: "skip_validation,disable_robustness" };
  const both = { backend: "dawn", toggles: ["disable_robustness", "skip_validation"] };
  assert.deepEqual(await choose({ backend: "dawn" }, variables), both);
  assert.deepEqual(await choose({ backend: "dawn", toggles: [] }, variables), {
    backend: "dawn",
    toggles: [],
  });
  assert.deepEqual(await choose({}, variables), { backend: "deno", toggles: [] });
  await assert.rejects(
    choose({ toggles: ["skip_validation"] }),
    new ConfigError("toggles", ["skip_validation"], "none, since the backend is not dawn"),
  );
});

Deno.test("an unknown backend or toggle is refused, naming where it was given and what is allowed", async () => {
  const toggles = "some of disable_robustness, skip_validation, disable_workgroup_init";
  for (
    const [options, variables, message] of [
      [{ backend: "wgpu" }, {}, 'backend: expected deno or dawn, got "wgpu"'],
      [{}, { DENOISE_BACKEND: "Dawn" }, 'DENOISE_BACKEND: expected deno or dawn, got "Dawn"'],
      [{ backend: "dawn", toggles: ["fast"] }, {}, `toggles: expected ${toggles}, got "fast"`],
      [
        { backend: "dawn" },
        { DENOISE_DAWN_TOGGLES: "skip_validation,fast" },
        `DENOISE_DAWN_TOGGLES: expected ${toggles}, got "fast"`,
      ],
    ] as const
  ) {
    await assert.rejects(
      choose(options as BackendOptions, variables),
      (error) => error instanceof ConfigError && error.message === message,
      message,
    );
  }
});

Deno.test("a backend is described with its version and the unsafe toggles", () => {
  assert.equal(describeBackend({ backend: "deno" }), `Deno/${Deno.version.deno}`);
  assert.equal(describeBackend({ backend: "dawn" }), "Dawn/0.6.2");
  assert.equal(
    describeBackend({ backend: "dawn", toggles: ["skip_validation"] }),
    "Dawn/0.6.2 skip_validation",
  );
});

Deno.test("unsafe toggles reach Dawn only when asked for, and on Linux its backend is Vulkan", () => {
  const safe = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";
  const exact = "disable-dawn-features=timestamp_quantization";
  assert.deepEqual(dawnOptions([], "linux"), [safe, exact, "backend=vulkan"]);
  assert.deepEqual(dawnOptions(["skip_validation"], "darwin"), [`${safe},skip_validation`, exact]);
});

Deno.test("a task downloads Dawn only when it asks for it: deno.json, all of whose packages `deno task` installs, leaves it out", () => {
  const [name] = DAWN_PACKAGE.split(/@(?=\d)/);
  assert.equal(name, "npm:webgpu");
  for (const target of Object.values<string>(project.imports)) {
    assert.notEqual(target.split(/@(?=\d)/)[0], name);
  }
});

Deno.test("importing the library neither loads nor downloads Dawn", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", fileURLToPath(new URL("../../mod.ts", import.meta.url))],
    stdout: "piped",
  }).output();
  const info = new TextDecoder().decode(stdout);
  assert.match(info, /lib\/gpu\/dawn\/instance\.ts/);
  assert.doesNotMatch(info, /npm:\/?webgpu/);
});
