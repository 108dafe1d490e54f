import assert from "node:assert/strict";
import { generateReportAssets } from "../../tasks/report_assets.ts";

const STYLE = ["report.css", "p { color: red; }\n"] as const;

async function scriptOf(...files: (readonly [string, string])[]): Promise<string> {
  const source = generateReportAssets(new Map([STYLE, ...files]));
  const { REPORT_SCRIPT, REPORT_STYLE } = await import(`data:text/typescript,${encodeURIComponent(source)}`);
  assert.equal(REPORT_STYLE, STYLE[1]);
  return REPORT_SCRIPT;
}

Deno.test("modules become one script, each after those it imports, and each once", async () => {
  const script = await scriptOf(
    ["main.js", 'import { b } from "./b.js";\nimport { a } from "./a.js";\nglobalThis.joined = a + b;\n'],
    ["a.js", "export const a = 40;\n"],
    ["b.js", 'import { a } from "./a.js";\nexport const b = a - 38;\n'],
  );
  new Function(script)();
  assert.equal((globalThis as { joined?: number }).joined, 42);
});

Deno.test("a missing module, a cycle and a name declared twice are errors", async () => {
  const main = ["main.js", 'import { a } from "./a.js";\n'] as const;
  await assert.rejects(scriptOf(main), /a\.js is missing, which main\.js imports/);
  await assert.rejects(
    scriptOf(main, ["a.js", 'import { b } from "./main.js";\nexport const a = 1;\n']),
    /import cycle: main\.js -> a\.js -> main\.js/,
  );
  await assert.rejects(scriptOf(["main.js", "const x = 1;\nconst x = 2;\n"]), SyntaxError);
});
