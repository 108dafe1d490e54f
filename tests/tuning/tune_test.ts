/** Choices and their order, with a lowering that requests choices by test case and a clock that stands still. */
import assert from "node:assert/strict";
import { choose } from "../../kernels/target.ts";
import type { KernelSource, Launch } from "../../kernels/source.ts";
import { Graph } from "../../lib/graph/graph.ts";
import type { Node } from "../../lib/graph/operations.ts";
import type { lower, LowerContext } from "../../lib/graph/lower.ts";
import { conv2d, silu } from "../../lib/graph/ops.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import type { Views } from "../../lib/graph/views.ts";
import { chooseFrom, fastest, promising, traceChoices, type Trial } from "../../lib/tuning/trials.ts";
import type { TuneEstimate } from "../../lib/tuning/time_limit.ts";
import { tune, type TuneOptions } from "../../lib/tuning/tune.ts";

const TARGET = { path: "tile", subgroupSize: 0 } as const;

/** A dispatch that only its name tells from others. */
function dispatch(name: string, flops = 0): Launch<Tensor> {
  const kernel = { name } as KernelSource;
  return {
    kernel,
    entry: "main",
    constants: {},
    params: {},
    buffers: {},
    workgroups: [1, 1, 1],
    label: "",
    ...{ flops, operations: flops },
  };
}

/** A graph of nodes with these labels. */
function graphOf(...labels: string[]): Graph {
  return record(new Graph(), labels);
}

function record(g: Graph, labels: readonly string[]): Graph {
  const x = g.input("x", [1, 1, 1, 4]);
  for (const label of labels) g.scope(label, () => silu(g, x));
  return g;
}

/** Seconds of dispatches by name; those that are not here cannot be run. */
type Costs = Readonly<Record<string, number>>;

interface Tuned {
  readonly choices: Map<string, string>;
  readonly trials: Trial[];
  readonly progress: (readonly [done: number, total: number])[];
  readonly estimates: TuneEstimate[];
  /** Questions in the end, and how many of them were answered now. */
  readonly end: readonly [done: number, total: number];
}

/** Tunes graphs whose nodes are lowered as `lowering` says; a trial takes a second. */
async function tuned(
  graphs: readonly Graph[],
  lowering: (context: LowerContext, label: string) => Launch<Tensor>[],
  costs: Costs,
  { runs = [], ...options }: Partial<TuneOptions> & { runs?: readonly number[] } = {},
): Promise<Tuned> {
  const choices = options.choices ?? new Map<string, string>();
  const trials: Trial[] = [];
  const progress: Tuned["progress"] = [];
  const estimates: TuneEstimate[] = [];
  const steps = tune(graphs.map((g, i) => ({ g, runs: runs[i] ?? 1 })), {
    target: TARGET,
    limit: () => 1000,
    now: () => 1000 * trials.length,
    lowering: ((context: LowerContext, { label }: Node) =>
      lowering(context, label.split(".")[0])) as typeof lower,
    measure(trial) {
      trials.push(trial);
      const seconds = [...trial].map(([name, launches]): [string, number] => [
        name,
        launches.reduce((sum, { kernel }) => sum + (costs[kernel.name] ?? Infinity), 0),
      ]);
      return Promise.resolve(new Map(seconds.filter(([, taken]) => Number.isFinite(taken))));
    },
    ...options,
    choices,
  });
  for (;;) {
    const { done, value } = await steps.next();
    if (done) return { choices, trials, progress, estimates, end: [value.decided.size, value.total] };
    progress.push([value.done, value.total]);
    estimates.push(value.estimate);
  }
}

/** A convolution by one of two algorithms, each with a product in one of two layouts. */
function convolution({ target }: LowerContext, label: string): Launch<Tensor>[] {
  const algorithm = choose(target, `conv ${label}`, ["direct", "transformed"]);
  const product = `${algorithm} product ${label}`;
  const layout = choose(target, product, ["small", "large"]);
  const main = dispatch(`${algorithm} ${layout}`, 100);
  return algorithm === "direct" ? [main] : [dispatch("before"), main, dispatch("after")];
}

/** With the default layouts the direct algorithm is slightly faster. */
const TRANSFORMED_WINS: Costs = {
  ...{ "direct small": 5, "direct large": 9, "transformed small": 4.5, "transformed large": 2 },
  ...{ before: 1, after: 1 },
};
const DIRECT_WINS: Costs = {
  ...{ "direct small": 3, "direct large": 4, "transformed small": 1.5, "transformed large": 2 },
  ...{ before: 1, after: 1 },
};

const namesOf = (trials: readonly Trial[]) => trials.map((trial) => [...trial.keys()]);

Deno.test("algorithms that come close to each other are judged with the best of their own layouts", async () => {
  const { choices, trials, progress } = await tuned([graphOf("a")], convolution, TRANSFORMED_WINS);
  assert.deepEqual(Object.fromEntries(choices), {
    "conv a": "transformed",
    "direct product a": "small",
    "transformed product a": "large",
  });
  assert.deepEqual(namesOf(trials), [
    ["direct", "transformed"],
    ["small", "large"],
    ["small", "large"],
    ["direct", "transformed"],
  ]);
  assert.deepEqual(progress, [[0, 2]]);
});

Deno.test("layouts of an algorithm that is far slower are not tried", async () => {
  for (
    const [chosen, costs] of Object.entries({
      direct: { ...DIRECT_WINS, "transformed small": 9 },
      transformed: { ...TRANSFORMED_WINS, "direct small": 9 },
    })
  ) {
    const { choices, trials } = await tuned([graphOf("a")], convolution, costs);
    assert.deepEqual(namesOf(trials), [["direct", "transformed"], ["small", "large"]]);
    assert.deepEqual([...choices.keys()], ["conv a", `${chosen} product a`]);
    assert.equal(choices.get("conv a"), chosen);
  }
});

Deno.test("launches common to all candidates are not timed", async () => {
  const { trials } = await tuned([graphOf("a")], convolution, TRANSFORMED_WINS);
  const names = trials.map((trial) => [...trial.values()].map((all) => all.map(({ kernel }) => kernel.name)));
  assert.deepEqual(names, [
    [["direct small"], ["before", "transformed small", "after"]],
    [["direct small"], ["direct large"]],
    [["transformed small"], ["transformed large"]],
    [["direct small"], ["before", "transformed large", "after"]],
  ]);
});

Deno.test("independent choices are all made, each with the others at their defaults", async () => {
  const attention = ({ target }: LowerContext) =>
    ["qk", "pv"].map((name) => dispatch(`${name} ${choose(target, name, ["one", "two", "three"])}`));
  const costs = { "qk one": 3, "qk two": 2, "qk three": 1, "pv one": 1, "pv two": 2, "pv three": 3 };
  const { choices, trials } = await tuned([graphOf("a")], attention, costs);
  assert.deepEqual(Object.fromEntries(choices), { qk: "three", pv: "one" });
  assert.equal(trials.length, 2);
});

Deno.test("a choice requested several times is timed once, and a known one never", async () => {
  const graphs = [graphOf("a", "a", "b"), graphOf("b", "a")];
  const first = await tuned(graphs, convolution, DIRECT_WINS);
  assert.equal(first.trials.length, 8);
  const again = await tuned(graphs, convolution, DIRECT_WINS, { choices: first.choices });
  assert.deepEqual([again.trials.length, again.progress], [0, []]);
  const more = await tuned([...graphs, graphOf("c")], convolution, DIRECT_WINS, { choices: first.choices });
  assert.equal(more.trials.length, 4);
});

Deno.test("choices that another node's choice opens are made too", async () => {
  // One algorithm for all batches, one layout for each; only the transformed algorithm has a choice of layouts.
  const ofBatch = ({ target }: LowerContext, batch: string) => {
    const algorithm = choose(target, "conv", ["direct", "transformed"]);
    if (algorithm === "direct") return [dispatch(`direct ${batch}`, Number(batch))];
    return [dispatch(`${choose(target, `product ${batch}`, ["small", "large"])} ${batch}`, Number(batch))];
  };
  const costs = { "direct 1": 9, "direct 4": 9, "small 1": 1, "large 1": 2, "small 4": 4, "large 4": 3 };
  const { choices, progress, end } = await tuned([graphOf("1"), graphOf("4")], ofBatch, costs);
  assert.deepEqual(Object.fromEntries(choices), {
    conv: "transformed",
    "product 1": "small",
    "product 4": "large",
  });
  assert.ok(progress.every(([done, total]) => done < total));
  assert.deepEqual(end, [3, 3]);
});

Deno.test("views of a graph are found once, not for every node and trial", async () => {
  const graphs = [graphOf("a", "b", "c"), graphOf("b", "d")];
  const views = new Set<Views>();
  let lowerings = 0;
  const counted = (context: LowerContext, label: string) => {
    views.add(context.views);
    lowerings++;
    return convolution(context, label);
  };
  await tuned(graphs, counted, TRANSFORMED_WINS);
  assert.equal(views.size, graphs.length);
  assert.ok(lowerings > 5 * graphs.length);
});

Deno.test("a choice that is no longer a candidate is made again", async () => {
  const { choices } = await tuned([graphOf("a")], convolution, DIRECT_WINS);
  choices.set("conv a", "magic");
  const { trials } = await tuned([graphOf("a")], convolution, DIRECT_WINS, { choices });
  assert.deepEqual(trials.map((trial) => [...trial.keys()]), [["direct", "transformed"]]);
  assert.equal(choices.get("conv a"), "direct");
});

/** A choice of two for each label, with so many operations. */
function weighed(weights: Readonly<Record<string, number>>) {
  return ({ target }: LowerContext, label: string) => [
    dispatch(`${label} ${choose(target, label, ["rule", "other"])}`, weights[label]),
  ];
}

const OTHER_WINS = Object.fromEntries(
  ["a", "b", "c"].flatMap((name) => [[`${name} rule`, 2], [`${name} other`, 1]]),
);

Deno.test("most time at stake first; after the time limit, the rest stays open", async () => {
  const one = weighed({ a: 10e9, b: 30e9, c: 15e9 });
  // Two of a are more than one of c, and less than one of b.
  const graphs = [graphOf("c", "a", "b"), graphOf("a")];
  const { choices, progress, end } = await tuned(graphs, one, OTHER_WINS, { limit: () => 2 });
  assert.deepEqual([...choices], [["b", "other"], ["a", "other"]]);
  assert.deepEqual(progress, [[0, 3], [1, 3]]);
  assert.deepEqual(end, [2, 3]);
  // Over just when there was nothing left to do.
  assert.deepEqual((await tuned(graphs, one, OTHER_WINS, { limit: () => 3 })).end, [3, 3]);
});

Deno.test("graphs that run more often come first", async () => {
  const one = weighed({ a: 10e9, b: 30e9, c: 15e9 });
  const graphs = [graphOf("b"), graphOf("a", "c")];
  const { choices } = await tuned(graphs, one, OTHER_WINS, { runs: [1, 10] });
  assert.deepEqual([...choices.keys()], ["c", "a", "b"]);
});

Deno.test("many small dispatches come before a single one that computes more than each of them", async () => {
  const one = weighed({ a: 1, b: 1e9 });
  const { choices } = await tuned([graphOf("a", "b", "a", "a", "a", "a")], one, OTHER_WINS);
  assert.deepEqual([...choices.keys()], ["a", "b"]);
});

Deno.test("the time limit can depend on the share left open, and on the time of all runs at the rate so far", async () => {
  // Without choices of its own, b is in the time of the runs, but not in the share.
  const one = (context: LowerContext, label: string) =>
    label === "b" ? [dispatch("b", 30e9)] : weighed({ a: 10e9, c: 15e9 })(context, label);
  const graphs = [graphOf("a", "b", "c"), graphOf("a")];
  const asked: TuneEstimate[] = [];
  const limit = (estimate: TuneEstimate) => (asked.push(estimate), 1000);
  const { estimates, choices } = await tuned(graphs, one, OTHER_WINS, { runs: [100, 10], limit });
  assert.deepEqual([...choices.keys()], ["c", "a"]);
  assert.deepEqual(estimates[0], { open: 1, seconds: 0 });
  // 15e9 operations in a second, of c; then 10e9 in another one, of a.
  assert.equal(estimates[1]!.seconds, (100 * 55e9 + 10 * 10e9) / 15e9);
  assert.equal(asked.at(-1)!.seconds, (100 * 55e9 + 10 * 10e9) / 12.5e9);
  // c, known, is more than half of what can be chosen.
  const known = new Map([["c", "other"]]);
  const { estimates: [{ open }] } = await tuned([graphOf("a", "b", "c")], one, OTHER_WINS, {
    choices: known,
  });
  assert.ok(open > 0.3 && open < 0.5, `${open}`);
});

Deno.test("an algorithm that was not judged with its best layout stays open", async () => {
  const { choices } = await tuned([graphOf("a")], convolution, TRANSFORMED_WINS, { limit: () => 3 });
  assert.deepEqual([...choices], [["direct product a", "small"], ["transformed product a", "large"]]);
});

Deno.test("a signal stops tuning after the current trial, and keeps the choices made", async () => {
  const controller = new AbortController();
  const one = ({ target }: LowerContext, label: string) => [
    dispatch(`${label} ${choose(target, label, ["rule", "other"])}`),
  ];
  const { choices } = await tuned([graphOf("a", "b")], one, {}, {
    signal: controller.signal,
    measure(trial) {
      controller.abort();
      return Promise.resolve(new Map([...trial.keys()].map((name) => [name, 1])));
    },
  });
  assert.deepEqual([...choices], [["a", "rule"]]);
});

Deno.test("candidates that the device rejects are left out; if it rejects all, the choice stays open and is not retried", async () => {
  const each = ({ target }: LowerContext, label: string) =>
    [...label].map((name) => dispatch(`${name} ${choose(target, name, ["rule", "other", "third"])}`));
  const graphs = [graphOf("a", "b"), graphOf("ab")];
  const { choices, trials, end } = await tuned(graphs, each, { "a other": 3, "a third": 4 });
  assert.deepEqual([...choices], [["a", "other"]]);
  assert.deepEqual(end, [1, 2]);
  assert.equal(trials.length, 2);
});

Deno.test("another candidate replaces the default only if it is clearly faster", () => {
  const of = (seconds: Costs) => fastest("rule", new Map(Object.entries(seconds)));
  assert.equal(of({ rule: 1, other: 0.98, third: 2 }), "rule");
  assert.equal(of({ rule: 1, other: 0.96, third: 0.97 }), "other");
  assert.equal(of({ other: 5, third: 4 }), "third");
  // Times of 0 tell nothing.
  assert.equal(of({ rule: 1, other: 0, third: 0 }), "rule");
  assert.equal(of({ other: 0, third: 4 }), "other");
  assert.equal(of({}), undefined);
});

Deno.test("float16 and float32 have separate choices, by node", () => {
  const g = new Graph("float16");
  const layer = (name: string, width: number) => {
    const x = g.input(name, [2, 1, 1, 64]);
    const weight = g.parameter(`${name}.weight`, "linear", [width, 64], { kind: "zeros" });
    const bias = g.parameter(`${name}.bias`, "vector", [width], { kind: "zeros" });
    conv2d(g, x, { weight, bias }, { kernel: 1, stride: 1, padding: 0 });
  };
  layer("half", 64);
  g.inFloat32(() => layer("single", 64));
  const lowered = traceChoices({ path: "tile", subgroupSize: 0 });
  const [half, single] = g.nodes.map((node) => [...lowered(g, node, new Map()).requested.keys()]);
  assert.ok(single.length > 0);
  assert.deepEqual(half, single.map((key) => `float16 ${key}`));
});

Deno.test("unknown keys and invalid choices get the default", () => {
  const answer = chooseFrom(new Map([["a", "two"], ["b", "gone"]]));
  assert.equal(answer("a", ["one", "two"]), "two");
  assert.equal(answer("b", ["one", "two"]), "one");
  assert.equal(answer("c", ["one", "two"]), "one");
});

Deno.test("candidates are promising within a third of the fastest", () => {
  const of = (seconds: Costs) => promising(new Map(Object.entries(seconds)));
  assert.deepEqual(of({ a: 1.3, b: 1, c: 1.4 }), ["a", "b"]);
  assert.deepEqual(of({ a: 0, b: 0, c: 1 }), ["a", "b"]);
  assert.deepEqual(of({}), []);
});
