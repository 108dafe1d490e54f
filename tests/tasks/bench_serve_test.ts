import assert from "node:assert/strict";
import { join } from "node:path";
import type { ServeReport } from "../../bench/serve_report.ts";
import { readServeBenchFlags } from "../../tasks/bench_serve.ts";
import { MODEL } from "../support/server/process.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { runTask } from "../support/command.ts";

Deno.test("--help shows every flag, with its default and unit where it has them", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out } = await runTask("bench_serve", ["--help"], directory);
    assert.equal(code, 0);
    const text = out.replace(/\s+/g, " ");
    for (
      const [flag, ...notes] of [
        ["--model <DIR>", "default: checkpoints/cifar10-tiny"],
        ["--clients <LIST>", "default: 1,4,16,64; with --quick 1,16"],
        ["--seconds <S>", "in seconds", "default: 20; with --quick 4"],
        ["--steps <N>", "in steps", "default: 20"],
        ["--max-batch <N>", "in network rows", "default: 16"],
        ["--requests <N>", "in requests", "default: 2000; with --quick 100"],
        ["--backend <NAME>", "default: DENOISE_BACKEND, or deno"],
      ]
    ) {
      const entry = text.slice(text.indexOf(` ${flag} `)).slice(1).split(/ --[a-z]+ </)[0];
      for (const note of notes) assert.ok(entry.includes(note), `${flag}: ${note} is not in: ${entry}`);
    }
  });
});

Deno.test("without --model it is the tiny network of README's table, whatever runs there are", () => {
  assert.match(readServeBenchFlags([]).model, /checkpoints.cifar10-tiny$/);
  assert.equal(readServeBenchFlags(["--model", "runs/mine"]).model, "runs/mine");
});

Deno.test("a short run: a row for each number of clients and server, memory, and the same as JSON", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--quick", "--model", MODEL, "--clients", "1,3", "--seconds", "0.1", "--steps", "2"];
    const json = join(directory, "report.json");
    const { code, out, err } = await runTask(
      "bench_serve",
      [...flags, "--requests", "12", "--json", json],
      directory,
    );
    assert.equal(code, 0, err);
    const report: ServeReport = JSON.parse(await Deno.readTextFile(json));
    assert.deepEqual([report.model, report.steps, report.guidance], ["tiny_pipeline", 2, 2]);
    assert.deepEqual(report.rows, { batching: 16, oneAtATime: 2 });
    const rows = report.load.map(({ clients, batching }) => [clients, batching]);
    assert.deepEqual(rows, [[1, true], [1, false], [3, true], [3, false]]);
    for (const { clients, images, seconds, imagesPerSecond, latencySeconds, ...row } of report.load) {
      assert.ok(images >= clients);
      assert.equal(imagesPerSecond, images / seconds);
      const { p50, p95, p99, max } = latencySeconds;
      assert.ok(p50 > 0 && p50 <= p95 && p95 <= p99 && p99 <= max && max <= seconds);
      assert.ok(row.healthMilliseconds.p50 > 0);
      assert.deepEqual(row.failures, {});
    }
    assert.equal(report.memory?.requests, 12);
    assert.equal(report.memory?.samples.length, 13);
    assert.ok(report.memory?.samples.every(({ mebibytes }) => mebibytes > 10));
    assert.deepEqual(report.skipped, []);
    assert.match(out, /^3 +batching +\d+ /m);
    assert.match(out, /^3 +one at a time +\d+ /m);
    assert.match(out, /^memory over 12 requests of 2 steps, 8 clients/m);
    assert.match(err, /^memory {2}12\/12/m, "progress is told");
  });
});

Deno.test("both servers run on the backend that is asked for, which the report names", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--quick", "--model", MODEL, "--clients", "1", "--seconds", "0.1", "--steps", "2"];
    const on = ["--requests", "0", "--backend", "dawn", "--json"];
    const { code, out, err } = await runTask("bench_serve", [...flags, ...on], directory);
    assert.equal(code, 0, err);
    const { environment, load }: ServeReport = JSON.parse(out);
    assert.match(environment.dawn ?? "", /^Dawn\/\d/);
    assert.deepEqual(load.map(({ batching, failures }) => [batching, failures]), [[true, {}], [false, {}]]);
  });
});

Deno.test("a failed measurement is one line, and leaves no server behind", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string[], number, RegExp][] = [
      [["--clients", "1,,4"], 2, /whole numbers from 1 to 1000, separated by commas/],
      [["--clients", "0"], 2, /whole numbers from 1 to 1000/],
      [["--seconds", "0"], 2, /in seconds|from 0\.1 to 600/],
      [["--max-batch", "1"], 2, /from 2 to 512/],
      [
        ["--model", "nowhere"],
        1,
        /error: the server ended with exit code 1: error: nowhere: no such file or directory/,
      ],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => runTask("bench_serve", args, directory)));
    for (const [i, { code, out, err }] of outcomes.entries()) {
      assert.match(err, cases[i][2]);
      assert.deepEqual([code, out], [cases[i][1], ""], err);
    }
  }, { onDisk: true });
});
