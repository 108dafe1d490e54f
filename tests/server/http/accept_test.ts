import assert from "node:assert/strict";
import { acceptedFormat } from "../../../server/http/accept.ts";

Deno.test("Accept decides by quality, then by the more usual format", () => {
  const cases: [accept: string | undefined, format: string][] = [
    [undefined, "png"],
    ["", "png"],
    ["*/*", "png"],
    ["image/*", "png"],
    ["application/json", "json"],
    ["application/*", "json"],
    ["image/webp", "webp"],
    ["IMAGE/JPEG", "jpeg"],
    ["image/gif, text/html", "gif"],
    ["image/png;q=0.5, image/jpeg;q=0.9", "jpeg"],
    ["image/png;q=0, */*", "jpeg"],
    ["image/*;q=0.5, application/json", "json"],
    ["image/*, image/webp", "png"],
    ["text/html, image/webp;q=0.9, */*;q=0.8", "webp"],
    ["image/webp;q=0.1, image/*;q=0.2", "png"],
    ["application/json;q=0.000, image/jpeg;q=0.001", "jpeg"],
    ["image/jpeg;charset=x;q=1.0", "jpeg"],
    ["garbage", "png"],
  ];
  for (const [accept, format] of cases) assert.equal(acceptedFormat(accept), format, accept ?? "no header");
  for (const accept of ["text/html", "image/png;q=0", "image/avif, text/*", "*/*;q=0"]) {
    assert.throws(() => acceptedFormat(accept), { status: 406 }, accept);
  }
});
