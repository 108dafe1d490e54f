/** `deploy/prometheus/` and `deploy/grafana/`, against the metrics that the server has. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "yaml";
import { DEPLOY } from "../support/deploy/nginx.ts";
import { faultsOf, type KnownMetric, parseMetrics } from "../support/deploy/promql.ts";
import { makeKey, withKey, withKeys } from "../support/server/keys.ts";
import { makePng } from "../support/synthetic.ts";
import { runTool, testsWith } from "../support/tools.ts";

/** The server's own text of its metrics, after something of everything has happened. */
async function metricsText(): Promise<string> {
  const form = new FormData();
  form.set("image", new File([new Uint8Array(await makePng(32, 32, () => [9, 9, 9]))], "a.png"));
  form.set("prompt", "cat");
  const requests: readonly [string, RequestInit][] = [
    ["/generate?format=jpeg", {}],
    ["/generate?steps=x", {}],
    ["/generate/stream?steps=9&every=2", {}],
    ["/v1/images/edits", { method: "POST", body: form }],
  ];
  const key = makeKey("prometheus", {}, { admin: true });
  let text = "";
  await withKeys([key], { settings: { jobs: "jobs.db" } }, async ({ ask }) => {
    for (const [path, init] of requests) await (await ask(path, withKey(key, init))).text();
    text = await (await ask("/metrics", withKey(key))).text();
  });
  return text;
}

const text = await metricsText();
const metrics = parseMetrics(text);
const rules: { groups: { rules: { alert: string; expr: string }[] }[] } = parse(
  await Deno.readTextFile(join(DEPLOY, "prometheus/rules.yml")),
);
const alerts = rules.groups.flatMap(({ rules }) => rules);

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
  }[];
}

const dashboard: {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
} = JSON.parse(await Deno.readTextFile(join(DEPLOY, "grafana/dashboard.json")));
const targets = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map((target) => ({ title, ...target }))
);

/** Metrics of a server of several models, which tells them apart by a label. */
const byModel: ReadonlyMap<string, KnownMetric> = new Map(
  [...metrics].map(([name, { kind, labels }]) => [name, { kind, labels: new Set([...labels, "model"]) }]),
);

Deno.test("the rules ask for metrics and labels that the server has", () => {
  for (const { alert, expr } of alerts) assert.deepEqual(faultsOf(expr, metrics), [], alert);
  assert.ok(alerts.length >= 10);
});

Deno.test("the panels ask for metrics and labels that the server has", () => {
  for (const { title, expr, legendFormat } of targets) {
    assert.deepEqual(faultsOf(expr, metrics), [], title);
    for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
      assert.match(expr, new RegExp(`by \\([^)]*\\b${label}\\b`), `${title}: {{${label}}}`);
    }
  }
  assert.ok(targets.length > 20);
  for (const { name, definition } of dashboard.templating.list) {
    if (!definition) continue;
    const [, query, label] = /^label_values\((.*), (\w+)\)$/.exec(definition)!;
    assert.deepEqual(faultsOf(query, metrics), [], name);
    assert.ok(["job", "instance"].includes(label));
  }
});

Deno.test("rules and panels are the same for a server with series by model: each is summed or named", () => {
  for (const query of [...alerts.map(({ expr }) => expr), ...targets.map(({ expr }) => expr)]) {
    assert.deepEqual(faultsOf(query, byModel), []);
    // outside of an aggregation, a series by model would be a line, or an alert, of its own
    if (/\bdenoise_/.test(query)) {
      assert.match(query, /^\(?(histogram_quantile\([\d.]+, )?(sum|max)( by)?/, query);
    }
  }
});

Deno.test("a query of a metric, a label or a kind that does not exist is found", () => {
  const faults = (query: string) => faultsOf(query, metrics);
  assert.deepEqual(faults("sum(rate(denoise_pictures_total[5m]))"), ["no metric denoise_pictures_total"]);
  assert.deepEqual(faults('denoise_jobs{status="done"}'), ["denoise_jobs has no label status"]);
  assert.deepEqual(faults("sum by (client) (denoise_queue_depth)"), [
    "no label client in sum by (client) (denoise_queue_depth)",
  ]);
  assert.deepEqual(faults("rate(denoise_queue_depth[5m])"), ["rate() of denoise_queue_depth, a gauge"]);
  assert.deepEqual(faults("denoise_steps_total"), ["denoise_steps_total is a counter without rate()"]);
  assert.deepEqual(faults("max without (model) (denoise_jobs)"), []);
  assert.throws(() => faults("sum(rate(denoise_steps_total[5m])"), /is no PromQL/);
});

Deno.test("panels have ids of their own and do not overlap", () => {
  const { panels } = dashboard;
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert.ok(x >= 0 && x + w <= 24, title);
    for (let i = x; i < x + w; i++) {
      for (let j = y; j < y + h; j++) {
        assert.equal(taken.get(`${i} ${j}`), undefined, title);
        taken.set(`${i} ${j}`, title);
      }
    }
  }
});

const test = testsWith(["promtool"]);
const prometheus = join(DEPLOY, "prometheus");

test("promtool takes rules, configuration and metrics, and every alert is raised when it should be", async ({ promtool }) => {
  for (
    const args of [["check", "rules", "--lint-fatal", "rules.yml"], ["check", "config", "prometheus.yml"], [
      "test",
      "rules",
      "rules_test.yml",
    ]]
  ) {
    const { code, out, err } = await runTool(promtool, args, { cwd: prometheus });
    assert.equal(code, 0, out + err);
  }
  const tests: { tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[] } = parse(
    await Deno.readTextFile(join(prometheus, "rules_test.yml")),
  );
  const cases = tests.tests.flatMap(({ alert_rule_test }) => alert_rule_test);
  for (const { alert } of alerts) {
    const own = cases.filter(({ alertname }) => alertname === alert);
    assert.ok(own.some(({ exp_alerts }) => exp_alerts.length > 0), `${alert} is never raised`);
    assert.ok(own.some(({ exp_alerts }) => exp_alerts.length === 0), `${alert} is always raised`);
  }
  const child = new Deno.Command(promtool, {
    args: ["check", "metrics"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, stderr } = await child.output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
});
