import assert from "node:assert/strict";
import {
  createReporter,
  formatDuration,
  formatNumber,
  type ReporterMode,
  reporterMode,
} from "../../terminal/progress.ts";

function setup(mode: ReporterMode) {
  const stream = {
    isTTY: mode === "bar",
    columns: 60,
    text: "",
    write: (text: string) => stream.text += text,
  };
  const clock = { ms: 1_000_000 };
  const reporter = createReporter({ mode, stream, interval: 5, now: () => clock.ms });
  return { reporter, stream, clock };
}

Deno.test("plain lines come at the interval and at the end, with the fields and the remaining time", () => {
  const { reporter, stream, clock } = setup("lines");
  reporter.start(100, "epoch 1/5");
  for (let done = 1; done <= 100; done++) {
    clock.ms += 100;
    reporter.update(done, { loss: 0.0312345, "images/s": 212 });
  }
  reporter.stop();
  assert.deepEqual(stream.text.split("\n"), [
    "epoch 1/5  50/100  loss 0.03123  images/s 212  0:05 left",
    "epoch 1/5  100/100  loss 0.03123  images/s 212",
    "",
  ]);
});

Deno.test("the end is shown once for an activity, and again for the next", () => {
  const { reporter, stream } = setup("lines");
  for (let i = 0; i < 2; i++) {
    reporter.start(4, "drawing");
    reporter.update(4);
    reporter.update(4);
  }
  assert.equal(stream.text, "drawing  4/4\ndrawing  4/4\n");
});

Deno.test("the remaining time follows the speed of the last half minute, not a slow start", () => {
  const { reporter, stream, clock } = setup("lines");
  reporter.start(1000, "train");
  clock.ms += 100_000;
  reporter.update(1);
  for (let done = 2; done <= 400; done++) {
    clock.ms += 100;
    reporter.update(done);
  }
  const lines = stream.text.trim().split("\n");
  assert.equal(lines[0], "train  1/1000");
  assert.equal(lines.at(-1), "train  351/1000  1:05 left");
});

Deno.test("steps before a resume do not count as speed", () => {
  const { reporter, stream, clock } = setup("lines");
  reporter.start(1000, "train", 500);
  clock.ms += 60_000;
  reporter.update(510);
  clock.ms += 10_000;
  reporter.update(520);
  assert.equal(stream.text, "train  510/1000\ntrain  520/1000  8:00 left\n");
});

Deno.test("JSON mode prints events only, one object a line", () => {
  const { reporter, stream } = setup("json");
  reporter.start(2, "epoch");
  reporter.update(2, { loss: 1 });
  reporter.line("text");
  reporter.event({ type: "epoch", text: "a\nb", loss: 0.5 });
  reporter.event({ type: "end" });
  reporter.stop();
  assert.deepEqual(stream.text.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    { type: "epoch", text: "a\nb", loss: 0.5 },
    { type: "end" },
  ]);
});

Deno.test("other modes print no events, quiet prints nothing", () => {
  for (const mode of ["lines", "quiet"] as const) {
    const { reporter, stream } = setup(mode);
    reporter.event({ type: "epoch" });
    assert.equal(stream.text, "");
  }
  const { reporter, stream } = setup("quiet");
  reporter.start(1, "epoch");
  reporter.update(1);
  reporter.line("text");
  reporter.stop();
  assert.equal(stream.text, "");
});

Deno.test("a bar fits the terminal, gives way to lines and leaves nothing behind", () => {
  const { reporter, stream, clock } = setup("bar");
  reporter.start(10, "epoch 1/5");
  clock.ms += 1000;
  reporter.update(5, { loss: 0.5, note: "x".repeat(100) });
  reporter.line("a line");
  reporter.stop();
  reporter.line("the end");
  assert.ok(stream.text.includes("[============            ] epoch 1/5  5/10"), JSON.stringify(stream.text));
  // as a terminal shows it: erasing a line removes its text
  const visible = stream.text.replaceAll("\x1b", "␛");
  const shown = visible.split("\n").map((line) => line.split(/␛\[[02]?[JK]/).at(-1)!.replace(/␛\S/g, ""));
  assert.deepEqual(shown, ["a line", "the end", ""]);
  assert.ok(!stream.text.includes("x".repeat(61)));
  assert.ok(!visible.includes("␛[?"), "no terminal setting is changed");
});

Deno.test("the mode follows flags first, then the terminal", () => {
  const terminal = { isTTY: true, write() {} };
  assert.equal(reporterMode({}, terminal), "bar");
  assert.equal(reporterMode({}, { write() {} }), "lines");
  assert.equal(reporterMode({ json: true }, terminal), "json");
  assert.equal(reporterMode({ json: true, quiet: true }, terminal), "quiet");
});

Deno.test("numbers and durations read well", () => {
  assert.deepEqual([1 / 3, 12345.678, 2e-7, 50_000].map(formatNumber), ["0.3333", "12350", "2e-7", "50000"]);
  assert.deepEqual([0, 59.6, 3599, 3600, 90_061].map(formatDuration), [
    "0:00",
    "1:00",
    "59:59",
    "1:00:00",
    "25:01:01",
  ]);
});

Deno.test("control characters in what is shown are never obeyed, in any mode", () => {
  for (const mode of ["lines", "json", "bar"] as const) {
    const { reporter, stream } = setup(mode);
    reporter.line("class \u001b[31mred\u009b0m");
    reporter.event({ class: "\u001b[31mred\u009b0m" });
    reporter.start(2, "drawing \u001b]0;title\u0007");
    reporter.update(2, { class: "\u001b[31mred" });
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(stream.text, /\u001b\[31m|\u001b\]0|\u0007|\u009b/, mode);
    if (mode === "json") assert.deepEqual(JSON.parse(stream.text), { class: "\u001b[31mred\u009b0m" });
    else assert.match(stream.text, /class \\u001b\[31mred\\u009b0m\n/);
    reporter.stop();
  }
});
