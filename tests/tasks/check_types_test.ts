import assert from "node:assert/strict";
import { errorsIn } from "../../tasks/check_types.ts";

const OUTPUT = `Check lib/model/unet.ts
TS18048 [ERROR]: 'width' is possibly 'undefined'.
  return 4 * width;
             ~~~~~
    at file:///project/lib/model/unet.ts:135:46

TS2322 [ERROR]: Type 'number | undefined' is not assignable to type 'number'.
  return { buffer };
           ~~~~~~
    at file:///project/lib/graph/compile.ts:90:5

    The expected type comes from property 'buffer' which is declared here on type 'BufferView'
      readonly buffer: GPUBuffer;
               ~~~~~~
        at file:///project/lib/model/flat.ts:12:12

Found 2 errors.

error: Type checking failed.
`;

Deno.test("errors count in the room where they are, not in those that they mention", () => {
  const errors = errorsIn(OUTPUT, "file:///project/", ["lib/model/"]);
  assert.equal(errors.length, 1);
  assert.match(errors[0], /^TS18048 .*'width'/);
  assert.equal(errorsIn(OUTPUT, "file:///project/", ["lib/graph/", "lib/model/"]).length, 2);
  assert.deepEqual(errorsIn(OUTPUT, "file:///project/", ["lib/diffusion/"]), []);
  assert.deepEqual(errorsIn("Check lib/model/unet.ts\n", "file:///project/", ["lib/model/"]), []);
});
