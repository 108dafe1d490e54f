import assert from "node:assert/strict";
import { intervalText, parseInterval } from "../../lib/sampling/guidance_interval.ts";

Deno.test("an interval is two decimal numbers, the smaller first; inf has no bound", () => {
  assert.deepEqual(parseInterval("0.2,2"), [0.2, 2]);
  assert.deepEqual(parseInterval("0,inf"), [0, Infinity]);
  assert.deepEqual(parseInterval("1e-3,1e+2"), [0.001, 100]);
  for (
    const text of ["", "1", "2,1", "1,1", "-1,2", "1,", ",1", "inf,inf", "0x1,2", "1,2,3", "1, 2"]
  ) {
    assert.equal(parseInterval(text), undefined, text);
  }
});

Deno.test("an interval's text is read back", () => {
  for (const interval of [[0.2, 2], [0, Infinity], [1e-7, 1e22], [0.1 + 0.2, 157.40801]] as const) {
    const text = intervalText(interval);
    const [above, upTo] = parseInterval(text)!;
    assert.deepEqual([above, upTo], [...interval], text);
  }
});
