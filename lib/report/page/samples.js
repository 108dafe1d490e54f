/**
 * Slider over the epochs of the sample grids.
 *
 * @module
 */

/**
 * Lets the slider choose the epoch of all grids. A run without a grid of that epoch shows its last one before.
 *
 * @param samples grids of each run
 */
export function connectSlider(samples) {
  const slider = document.querySelector("#samples .slider");
  if (!slider) return;
  const epochs = [...new Set(samples.flatMap(({ grids }) => grids.map(({ epoch }) => epoch)))].sort((a, b) =>
    a - b
  );
  const [input, output] = [slider.querySelector("input"), slider.querySelector("output")];
  const figures = samples.map(({ run, grids }) => {
    const figure = document.querySelector(`#samples [data-run="${run}"]`);
    const image = figure?.querySelector("img");
    const newest = image?.src;
    return { figure, image, grids: grids.map(({ epoch, src }) => ({ epoch, src: src ?? newest })) };
  }).filter(({ image }) => image);
  const show = () => {
    const epoch = epochs[Number(input.value)];
    output.textContent = `epoch ${epoch}`;
    input.setAttribute("aria-valuetext", `epoch ${epoch}`);
    for (const { figure, image, grids } of figures) {
      const grid = grids.findLast((each) => each.epoch <= epoch);
      figure.classList.toggle("none", !grid);
      figure.querySelector(".epoch").textContent = grid ? `epoch ${grid.epoch}` : "no samples yet";
      if (grid) image.src = grid.src;
    }
  };
  input.addEventListener("input", show);
  for (const each of slider.querySelectorAll("button")) {
    each.addEventListener("click", () => {
      input.value = String(Number(input.value) + Number(each.dataset.step));
      show();
    });
  }
  slider.hidden = false;
  show();
}
