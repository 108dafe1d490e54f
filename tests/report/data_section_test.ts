import assert from "node:assert/strict";
import { dataSection } from "../../lib/report/data_section.ts";
import { runRecord } from "../support/report.ts";

/** Text of a section, without its elements. */
function textOf(dataset: Parameters<typeof runRecord>[0] = {}): string {
  return dataSection(runRecord(dataset))!.text.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");
}

Deno.test("the data section has the images' files, how they were fitted, and the images of each class", () => {
  const text = textOf({
    dataset: {
      ...{ name: "birds", digest: "ab", images: 30, height: 32, width: 48, channels: 1 },
      imageOptions: { fit: "pad", background: [1, 2, 3] },
      classes: [{ name: "tit", train: 17, validation: 2 }, { name: "wren", train: 10, validation: 1 }],
      files: {
        ...{ files: 30, widths: [40, 900], heights: [64, 64], resized: 29, leftOut: 1 },
        converted: { grey: 3, turned: 2 },
        layoutNotes: ["skipped Thumbs.db"],
        notes: ["left out <b>.png"],
      },
    },
  });
  for (
    const words of [
      "Size 32 x 48 pixels, grey",
      "Fitted pad, with a border of rgb(1, 2, 3)",
      "Their sizes 64 x 40 to 900 pixels",
      "Resized 29 files",
      "Converted 3 grey, 2 turned",
      "Left out 1 file that cannot be decoded",
      "tit 17 2",
      "wren 10 1",
      "skipped Thumbs.db",
      "left out &lt;b&gt;.png",
    ]
  ) assert.ok(text.includes(words), `${words} in ${text}`);
});

Deno.test("data of which little was recorded has what there is", () => {
  assert.match(textOf(), /^ Data Data set cifar10 Classes 2: cat, dog Digest \(SHA-256\) (ab){32} $/);
});
