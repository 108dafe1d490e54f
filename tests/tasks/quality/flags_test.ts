import assert from "node:assert/strict";
import { samplerNames, spacingNames } from "../../../lib/diffusion/sampler.ts";
import { SAMPLERS } from "../../../tasks/quality/flags.ts";

Deno.test("samplers to compare are a list, some with a spacing", () => {
  assert.deepEqual(SAMPLERS.parse("ddim, dpm++2m:linspace"), [
    { sampler: "ddim" },
    { sampler: "dpm++2m", spacing: "linspace" },
  ]);
});

Deno.test("a wrong sampler or spacing of a list is refused with all that there are, and the nearest", () => {
  const refused: readonly (readonly [string, string])[] = [
    ["ddim,unpic", `Allowed: ${samplerNames.join(", ")}. (did you mean unipc?)`],
    ["unipc:karas", `Allowed: ${spacingNames.join(", ")}. (did you mean karras?)`],
    ["unipc:karras:9", `Allowed: ${spacingNames.join(", ")}. (did you mean karras?)`],
    ["ddim,", `Allowed: ${samplerNames.join(", ")}.`],
  ];
  for (const [list, message] of refused) assert.throws(() => SAMPLERS.parse(list), { message }, list);
});
