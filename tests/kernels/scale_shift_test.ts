import assert from "node:assert/strict";
import { scaleShiftBackward, scaleShiftForward } from "../../kernels/scale_shift.ts";
import { differences, noise } from "../reference/differences.ts";
import { scaleShiftGradientReference, scaleShiftReference } from "../reference/scale_shift.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { FLOAT32 } from "../support/storage.ts";

function inputs(batch: number, channels: number) {
  const [gamma, beta] = [noise(channels, 1), noise(channels, 2)];
  const [scale, shift, dgamma, dbeta] = [3, 4, 5, 6].map((seed) => noise(batch * channels, seed));
  return { gamma, beta, scale, shift, dgamma, dbeta };
}

Deno.test("scale and shift's reference gradients match central differences", () => {
  const { dgamma, dbeta, ...modulation } = inputs(2, 3);
  const both = () => {
    const { gamma, beta } = scaleShiftReference(modulation);
    return Float64Array.from([...gamma, ...beta]);
  };
  const dy = Float64Array.from([...dgamma, ...dbeta]);
  const gradients = scaleShiftGradientReference(modulation, { dgamma, dbeta });
  for (const name of ["gamma", "beta", "scale", "shift"] as const) {
    // Bilinear, so differences are exact up to float64.
    assertClose(gradients[name], differences(both, modulation[name], dy), { absolute: 1e-9 }, name);
  }
});

/** Columns before, after and between the ones that belong to others. */
const OTHERS = 7;

for (const [batch, channels, first] of [[3, 8, 0], [2, 5, 4], [1, 1, 8], [4, 70, 4], [130, 6, 0]] as const) {
  Deno.test(`scale and shift match the reference, and leave the others' columns: ${batch} x ${channels} at ${first}`, async () => {
    const { dgamma, dbeta, ...modulation } = inputs(batch, channels);
    const own = 4 * Math.ceil(2 * channels / 4);
    const width = first + own + 4;
    const rows = new Float32Array(batch * width).fill(OTHERS);
    const drows = rows.slice();
    const at = (n: number, c: number) => n * width + first + c;
    for (let n = 0; n < batch; n++) {
      for (let c = 0; c < channels; c++) {
        rows[at(n, c)] = modulation.scale[n * channels + c];
        rows[at(n, channels + c)] = modulation.shift[n * channels + c];
      }
    }
    const padded = (values: Float64Array) => packChannels(values, channels);
    const host = { gamma: padded(modulation.gamma), beta: padded(modulation.beta), rows };
    const stride = host.gamma.length;
    const pairs = (betas: Float32Array, gammas: Float32Array) =>
      Float32Array.from({ length: 2 * batch * stride }, (_, i) => {
        const [n, half] = [Math.floor(i / stride / 2), Math.floor(i / stride) % 2];
        return [betas, gammas][half][n * stride + i % stride];
      });
    const affine = new Float32Array(2 * batch * stride).fill(NaN);
    const [ofGamma, ofBeta] = [host.gamma, host.beta].map((values) =>
      new Float32Array(values.length).fill(NaN)
    );
    const shape = { batch, channels, first, width };
    await FLOAT32.run([
      ...scaleShiftForward<HostArray>(shape, { ...host, affine }),
      ...scaleShiftBackward<HostArray>(shape, {
        ...{ ...host, daffine: pairs(padded(dbeta), padded(dgamma)) },
        ...{ dgamma: ofGamma, dbeta: ofBeta, drows },
      }),
    ]);

    const want = scaleShiftReference(modulation);
    // Rounding of products up to 4, and of the sums over the batch below.
    assertClose(affine, pairs(padded(want.beta), padded(want.gamma)), { absolute: 1e-6 }, "affine");
    const gradients = scaleShiftGradientReference(modulation, { dgamma, dbeta });
    const sums = { absolute: 1e-6 * batch };
    assertClose(unpackChannels(ofGamma, channels), gradients.gamma, sums, "dgamma");
    assertClose(unpackChannels(ofBeta, channels), gradients.beta, sums, "dbeta");
    const wantRows = new Float64Array(batch * width).fill(OTHERS);
    for (let n = 0; n < batch; n++) {
      wantRows.fill(0, at(n, 0), at(n, own));
      for (let c = 0; c < channels; c++) {
        wantRows[at(n, c)] = gradients.scale[n * channels + c];
        wantRows[at(n, channels + c)] = gradients.shift[n * channels + c];
      }
    }
    assertClose(drows, wantRows, { absolute: 1e-6 }, "drows");
    for (const [i, value] of wantRows.entries()) if (value === OTHERS) assert.equal(drows[i], OTHERS);
  });
}
