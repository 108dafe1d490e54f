/**
 * Pictures of the data, and of the forward and reverse process.
 *
 * @module
 */
import type { Html } from "../html.ts";
import { html } from "../html.ts";
import { captioned, section } from "./markup.ts";
import type { RunRecord } from "./run_record.ts";
import { runLabel } from "./summary_section.ts";

/** Forward process of one run. */
export function forwardSection({ pictures: { forward } }: RunRecord): Html | undefined {
  return section("forward", "Forward process", [
    captioned(forward, "Noise is added to images of the data, more from left to right", "wide"),
  ]);
}

/** Reverse process of each run. */
export function reverseSection(runs: readonly RunRecord[]): Html | undefined {
  const shown = runs.map(({ pictures: { reverse, animation } }, i) => {
    const figures = [
      captioned(reverse, "From noise to images: x_t, and below it the network's estimate of x_0", "wide"),
      captioned(animation, "The same for more images, animated", "animation"),
    ].filter((each) => each !== undefined);
    if (figures.length === 0) return undefined;
    return html`${runs.length > 1 && html`<h3>${runLabel(runs[i]!, i)}</h3>`}${figures}`;
  });
  return section("reverse", "Reverse process", shown);
}
