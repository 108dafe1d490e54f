import assert from "node:assert/strict";
import { subgroupDirective, withDirectives } from "../../lib/gpu/wgsl.ts";

/** A device whose compiler accepts kernels that satisfy `accepts`. */
function device(accepts: (code: string) => boolean): GPUDevice {
  let refused = false;
  const fake = {
    pushErrorScope() {},
    createShaderModule: ({ code }: { code: string }) => refused = !accepts(code),
    popErrorScope: () => Promise.resolve(refused ? { message: "no" } : null),
  };
  return fake as unknown as GPUDevice;
}

Deno.test("subgroup operations get the directive that the device's compiler asks for", async () => {
  const directive = /^enable subgroups;diagnostic\(off, subgroup_uniformity\);/;
  assert.equal(await subgroupDirective(device((code) => !directive.test(code))), "");
  assert.match((await subgroupDirective(device((code) => directive.test(code))))!, directive);
  assert.equal(await subgroupDirective(device(() => false)), undefined);
});

Deno.test("the directive goes before kernels with subgroup operations only, and moves no line", () => {
  const uses = [
    "fn f() { let a = subgroupAdd(1.0); }",
    "fn f(@builtin(subgroup_size) lanes: u32) {}",
    "alias Left = subgroup_matrix_left<f16, 16, 16>;",
  ];
  for (const code of uses) {
    assert.equal(withDirectives(code, "enable subgroups;"), `enable subgroups;${code}`);
    assert.equal(withDirectives(code, ""), code);
    assert.equal(withDirectives(code, undefined), code);
  }
  for (const code of ["fn f() {}", "// one subgroup per row\nfn f() {}", "var<private> nosubgroup_: u32;"]) {
    assert.equal(withDirectives(code, "enable subgroups;"), code);
  }
});
