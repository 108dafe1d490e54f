/** Metrics and labels that queries in PromQL ask for. */
import assert from "node:assert/strict";
import { parser } from "@prometheus-io/lezer-promql";

type SyntaxNode = ReturnType<typeof parser.parse>["topNode"];

/** A selector of a query. */
export interface Selector {
  readonly metric: string;
  /** Labels that it compares. */
  readonly labels: readonly string[];
  /** The function of a range vector that it stands in, such as `rate`. */
  readonly over: string | undefined;
}

/** A query. */
export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels that it groups by, or matches on. */
  readonly groupings: readonly string[];
}

/**
 * Parses a query; Grafana's variables become values.
 *
 * @throws {AssertionError} if it is not PromQL
 */
export function parseQuery(text: string): Query {
  const query = text.replaceAll("$__rate_interval", "5m");
  const selectors: Selector[] = [];
  const groupings: string[] = [];
  const textOf = ({ from, to }: SyntaxNode) => query.slice(from, to);
  parser.parse(query).iterate({
    enter({ type, node }) {
      assert.ok(!type.isError, `${query} is no PromQL at character ${node.from}`);
      if (type.name === "VectorSelector") {
        const call = ancestor(node, "FunctionCall");
        const isRange = node.parent?.name === "MatrixSelector";
        selectors.push({
          metric: textOf(node.getChild("Identifier")!),
          labels: descendants(node, "LabelName").map(textOf),
          over: isRange && call ? textOf(call.getChild("FunctionIdentifier")!) : undefined,
        });
      } else if (type.name === "GroupingLabels" && node.prevSibling?.name !== "Without") {
        groupings.push(...descendants(node, "LabelName").map(textOf));
      }
    },
  });
  return { selectors, groupings };
}

function ancestor(node: SyntaxNode, name: string): SyntaxNode | undefined {
  for (let at = node.parent; at; at = at.parent) if (at.name === name) return at;
  return undefined;
}

function descendants(node: SyntaxNode, name: string): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  node.cursor().iterate((at) => {
    if (at.name === name) found.push(at.node);
  });
  return found;
}

/** A metric of the server's. */
export interface KnownMetric {
  readonly kind: string;
  readonly labels: ReadonlySet<string>;
}

/** Metrics in Prometheus' text format, by name; those of histograms by the names of their series. */
export function parseMetrics(text: string): Map<string, KnownMetric> {
  const kinds = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name, kind]));
  const metrics = new Map<string, { kind: string; labels: Set<string> }>();
  for (const [, name, labels = ""] of text.matchAll(/^([a-z_]+)(?:\{(.*)\})? \S+$/gm)) {
    const kind = kinds.get(name) ?? "counter"; // the series of a histogram
    const known = metrics.get(name) ?? { kind, labels: new Set() };
    for (const [, label] of labels.matchAll(/([a-z_]+)="(?:[^"\\]|\\.)*"/g)) known.labels.add(label);
    metrics.set(name, known);
  }
  return metrics;
}

/** Labels that Prometheus adds to all metrics. */
const ADDED = ["job", "instance"];
/** Metrics of Prometheus' own. */
const PROMETHEUS: ReadonlyMap<string, KnownMetric> = new Map([["up", { kind: "gauge", labels: new Set() }]]);
/** Functions of counters. */
const OF_COUNTERS = ["rate", "irate", "increase"];

/** What is wrong with a query, given the metrics that exist. */
export function faultsOf(text: string, metrics: ReadonlyMap<string, KnownMetric>): string[] {
  const { selectors, groupings } = parseQuery(text);
  const faults: string[] = [];
  const labels = new Set(ADDED);
  for (const { metric, labels: compared, over } of selectors) {
    const known = metrics.get(metric) ?? PROMETHEUS.get(metric);
    if (!known) {
      faults.push(`no metric ${metric}`);
      continue;
    }
    for (const label of known.labels) labels.add(label);
    for (const label of compared) {
      if (!known.labels.has(label) && !ADDED.includes(label)) faults.push(`${metric} has no label ${label}`);
    }
    if (over !== undefined && OF_COUNTERS.includes(over) !== (known.kind === "counter")) {
      faults.push(`${over}() of ${metric}, a ${known.kind}`);
    }
    if (over === undefined && known.kind === "counter") faults.push(`${metric} is a counter without rate()`);
  }
  for (const label of groupings) if (!labels.has(label)) faults.push(`no label ${label} in ${text}`);
  return faults;
}
