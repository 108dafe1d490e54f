import assert from "node:assert/strict";
import { checkImports, type Module } from "../../tasks/check_imports.ts";

function project(imports: Record<string, string[]>, texts: Record<string, string> = {}): Map<string, Module> {
  return new Map(
    Object.entries(imports).map(([path, list]) => [path, { imports: list, text: texts[path] ?? "" }]),
  );
}

/** Every module that is imported exists, so that only the arrow itself can be at fault. */
function arrow(from: string, to: string): string[] {
  return checkImports(project(from === to ? { [from]: [to] } : { [from]: [to], [to]: [] }));
}

Deno.test("arrows that point down are allowed", () => {
  for (
    const [from, to] of [
      ["lib/random.ts", "lib/errors.ts"],
      ["kernels/products/conv2d.ts", "lib/errors.ts"],
      ["kernels/products/conv2d.ts", "kernels/source.ts"],
      ["lib/gpu/device.ts", "kernels/source.ts"],
      ["lib/graph/ops.ts", "lib/gpu/memory.ts"],
      ["lib/diffusion/samplers/ddim.ts", "lib/diffusion/schedule.ts"],
      ["lib/train/trainer.ts", "lib/image/png.ts"],
      ["lib/train/trainer.ts", "lib/sampling/ddpm.ts"],
      ["lib/tuning/tuning_file.ts", "lib/files/durable.ts"],
      ["mod.ts", "lib/sampling/ddpm.ts"],
      ["web.ts", "lib/sampling/diffusion_model.ts"],
      ["tasks/train.ts", "mod.ts"],
      ["tasks/serve.ts", "server/app.ts"],
      ["tests/kernels/activation_test.ts", "tests/reference/activation.ts"],
      ["tests/reference/attention.ts", "tests/reference/softmax.ts"],
      ["tests/train/log_test.ts", "lib/train/log.ts"],
      ["tasks/train.ts", "npm:/commander@14.0.2"],
      ["lib/data/folder.ts", "node:path"],
    ]
  ) assert.deepEqual(arrow(from, to).filter((problem) => !problem.startsWith(to)), [], `${from} -> ${to}`);
});

Deno.test("arrows that point up or sideways fail and are named", () => {
  for (
    const [from, to] of [
      ["lib/errors.ts", "lib/random.ts"],
      ["lib/random.ts", "lib/files/safetensors.ts"],
      ["kernels/products/conv2d.ts", "lib/random.ts"],
      ["kernels/products/conv2d.ts", "lib/gpu/device.ts"],
      ["lib/gpu/device.ts", "lib/graph/plan.ts"],
      ["lib/graph/ops.ts", "lib/model/unet.ts"],
      ["lib/model/unet.ts", "lib/diffusion/schedule.ts"],
      ["lib/data/cifar10.ts", "lib/image/png.ts"],
      ["lib/diffusion/schedule.ts", "lib/checks.ts"],
      ["lib/sampling/ddpm.ts", "lib/train/trainer.ts"],
      ["lib/train/device/step.ts", "lib/train/trainer.ts"],
      ["lib/train/trainer.ts", "mod.ts"],
      ["server/app.ts", "terminal/cli.ts"],
      ["lib/model/unet.ts", "tests/reference/conv2d.ts"],
      ["tests/reference/conv2d.ts", "lib/errors.ts"],
      ["tests/reference/conv2d.ts", "tests/support/close.ts"],
    ]
  ) {
    const problems = arrow(from, to);
    assert.equal(problems.length, 1, `${from} -> ${to}: ${problems}`);
    assert.ok(problems[0].startsWith(`${from}: imports ${to}, but `), problems[0]);
  }
});

Deno.test("a cycle fails and is shown once, in order", () => {
  const problems = checkImports(project({
    "mod.ts": ["lib/graph/ops.ts"],
    "lib/graph/ops.ts": ["lib/graph/plan.ts"],
    "lib/graph/plan.ts": ["lib/graph/tensor.ts"],
    "lib/graph/tensor.ts": ["lib/graph/ops.ts"],
  }));
  const shown = "lib/graph/ops.ts -> lib/graph/plan.ts -> lib/graph/tensor.ts -> lib/graph/ops.ts";
  assert.deepEqual(problems, [`import cycle: ${shown}`]);
});

Deno.test("a diamond is not a cycle", () => {
  const files = {
    "lib/graph/a.ts": ["lib/graph/b.ts", "lib/graph/c.ts"],
    "lib/graph/b.ts": ["lib/graph/d.ts"],
  };
  assert.deepEqual(
    checkImports(project({ ...files, "lib/graph/c.ts": ["lib/graph/d.ts"], "lib/graph/d.ts": [] })),
    [],
  );
});

Deno.test("modules for the browser use neither Deno nor node:, nor packages that need them", () => {
  const path = "lib/tuning/tune.ts";
  const uses = (text: string) => checkImports(project({ [path]: [] }, { [path]: text }));
  assert.match(uses("await Deno.readFile(path);")[0], /lib\/tuning\/tune\.ts: uses Deno, but/);
  assert.match(uses("const d = globalThis['x'] ?? Deno;")[0], /uses Deno/);
  assert.deepEqual(
    uses('/** e.g. `Deno.readFile` */\n// Deno.exit\nconst a = "Deno.env // "; const b = 1;'),
    [],
  );
  assert.match(uses('const a = "//"; Deno.exit();')[0], /uses Deno/);
  assert.match(arrow("lib/gpu/device.ts", "node:fs")[0], /must run in a browser/);
  assert.match(
    arrow("web.ts", "npm:/yauzl@3.4.0")[0],
    /imports npm:\/yauzl@3.4.0, but must run in a browser/,
  );
  assert.match(arrow("web.ts", "npm:@a/imagescript@1")[0], /must run in a browser/);
  assert.deepEqual(checkImports(project({ "lib/image/png.ts": ["npm:/imagescript@1.3.1/png/node.js"] })), []);
  assert.deepEqual(checkImports(project({ "lib/tuning/tuning_file.ts": ["node:fs"] })), []);

  const [listed, imported] = ["lib/sampling/generator.ts", "lib/sampling/slots/slot_buffers.ts"];
  const chain = project({ [listed]: [imported], [imported]: ["node:fs"] });
  assert.deepEqual(checkImports(chain), [
    `${imported}: imports node:fs, but ${listed}, which imports it, must run in a browser`,
  ]);
  chain.set(listed, { imports: [imported], types: [imported], text: "" });
  assert.deepEqual(checkImports(chain), [], "an import of types");
  assert.deepEqual(checkImports(project({ "tasks/train.ts": [] }, { "tasks/train.ts": "Deno.exit()" })), []);
});

Deno.test("imports from JSR or the web, of missing files and from unlisted places fail", () => {
  for (const target of ["jsr:@std/assert@1", "https://deno.land/std/fs/mod.ts", "file:///tmp/other.ts"]) {
    assert.match(
      checkImports(project({ "tasks/train.ts": [target] }))[0],
      /only npm packages, built-in modules/,
    );
  }
  assert.match(checkImports(project({ "tasks/train.ts": ["tasks/gone.ts"] }))[0], /which does not exist/);
  assert.match(checkImports(project({ "scripts/a.ts": [] }))[0], /scripts\/a\.ts: is in no room/);
});
