/** Files around the code: workflows, templates, citation. No workflow runs here, so that what they name is compared with what there is. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import project from "../../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => Deno.readTextFileSync(join(ROOT, path));

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<string, {
      readonly permissions?: Readonly<Record<string, string>>;
      readonly "timeout-minutes": number;
      readonly steps: readonly Step[];
    }>
  >;
}

const names = [...Deno.readDirSync(join(ROOT, ".github/workflows"))].map(({ name }) => name).sort();
const workflows = names.map((name) => {
  const text = read(`.github/workflows/${name}`);
  return { name, text, workflow: parse(text) as Workflow };
});
const steps = workflows.flatMap(({ name, workflow }) =>
  Object.values(workflow.jobs).flatMap((job) => job.steps.map((step) => ({ name, step })))
);

Deno.test("workflows test on three systems, publish on tags, and write the documents", () => {
  assert.deepEqual(names, ["docs.yml", "publish.yml", "test.yml"]);
  const [docs, publish, test] = workflows.map(({ workflow }) => workflow);
  assert.deepEqual(docs.on, { push: { branches: ["main"] } });
  assert.deepEqual(publish.on, { push: { tags: ["v*"] } });
  assert.deepEqual(Object.keys(test.on), ["push", "pull_request"]);
  assert.match(workflows[2].text, /ubuntu-[\d.]+[\s\S]*macos-\d+, windows-\d+/);
});

Deno.test("a job may write nothing but the package's provenance and the pages", () => {
  const granted: string[] = [];
  for (const { name, workflow } of workflows) {
    assert.deepEqual(workflow.permissions, { contents: "read" }, name);
    for (const [job, { permissions = {}, "timeout-minutes": limit }] of Object.entries(workflow.jobs)) {
      assert.ok(limit > 0 && limit <= 90, `${name}: ${job} has a time limit`);
      for (const [scope, access] of Object.entries(permissions)) {
        if (access !== "read") granted.push(`${name} ${job} ${scope}`);
      }
    }
  }
  assert.deepEqual(granted, [
    "docs.yml deploy pages",
    "docs.yml deploy id-token",
    "publish.yml publish id-token",
  ]);
});

Deno.test("actions are pinned to commits, with the version beside, and leave no credentials", () => {
  const versions = new Map<string, string>();
  for (const { name, text } of workflows) {
    for (const [, action, commit, version] of text.matchAll(/uses: ([^@\s]+)@(\S+)(?: # (v[\d.]+))?$/gm)) {
      assert.match(commit, /^[\da-f]{40}$/, `${name}: ${action}`);
      assert.ok(version, `${name}: ${action}: the version of the commit`);
      assert.equal(versions.get(action) ?? commit, commit, `${action} is the same everywhere`);
      versions.set(action, commit);
    }
  }
  assert.equal(versions.size, 4);
  assert.equal(steps.filter(({ step }) => step.uses).length, countOf(/uses: /g));
  for (const { name, step } of steps) {
    if (step.uses?.startsWith("actions/checkout@")) {
      assert.equal(step.with?.["persist-credentials"], false, name);
    }
    if (step.uses?.startsWith("denoland/setup-deno@")) {
      assert.equal(step.with?.["deno-version"], "v2.9.6", name);
    }
  }
});

function countOf(pattern: RegExp): number {
  return workflows.reduce((count, { text }) => count + [...text.matchAll(pattern)].length, 0);
}

Deno.test("commands of workflows are of tasks and files that there are, and hold nothing that others wrote", () => {
  let tasks = 0;
  for (const { name, step: { run } } of steps) {
    if (run === undefined) continue;
    assert.doesNotMatch(run, /\$\{\{/, `${name}: an expression in a command is pasted into it`);
    for (const [, task, rest] of run.matchAll(/(?:deno task|sh tasks\/setup\.sh) (\S+)(.*)/g)) {
      assert.ok(Object.hasOwn(project.tasks, task), `${name}: ${task}`);
      for (const [path] of rest.matchAll(/\btests\/\S+/g)) {
        assert.ok(Deno.statSync(join(ROOT, path)).isDirectory, path);
      }
      tasks++;
    }
    for (const [, path] of run.matchAll(/^bash (\S+)/g)) {
      assert.ok(Deno.statSync(join(ROOT, path)).isFile, path);
    }
  }
  assert.ok(tasks >= 8, `${tasks}`);
});

Deno.test("forms for issues ask with labels, and have each question once", () => {
  for (const form of ["bug", "idea"]) {
    const { name, description, body } = parse(read(`.github/ISSUE_TEMPLATE/${form}.yml`));
    assert.ok(name && description);
    const ids = (body as { id: string; type: string; attributes: { label: string } }[]).map(
      ({ id, type, attributes }) => {
        assert.match(type, /^(input|textarea)$/);
        assert.ok(attributes.label);
        return id;
      },
    );
    assert.equal(new Set(ids).size, ids.length);
  }
  assert.equal(parse(read(".github/ISSUE_TEMPLATE/config.yml")).blank_issues_enabled, true);
  assert.match(read(".github/pull_request_template.md"), /bash \.ci\/run/);
  assert.match(read("SECURITY.md"), /^## Reporting a vulnerability$/m);
});

Deno.test("the citation is of this version, and has what its format requires", () => {
  const citation = parse(read("CITATION.cff"));
  for (const field of ["cff-version", "message", "title", "authors"]) assert.ok(citation[field], field);
  assert.equal(citation["cff-version"], "1.2.0");
  assert.equal(citation.type, "software");
  assert.equal(citation.version, project.version);
  assert.equal(citation.license, project.license);
  assert.ok(citation.url.endsWith(project.name));
  const [paper] = citation.references;
  assert.deepEqual(paper.authors.map((author: Record<string, string>) => author["family-names"]), [
    "Ho",
    "Jain",
    "Abbeel",
  ]);
});

Deno.test("editors and Git know what the checks know", () => {
  const wide = /\[\*\.\{ts[^\]]*\]\nmax_line_length = (\d+)/.exec(read(".editorconfig"));
  assert.equal(Number(wide?.[1]), project.fmt.lineWidth);
  const attributes = read(".gitattributes");
  for (const path of project.fmt.exclude.filter((path) => path.endsWith(".ts"))) {
    assert.ok(attributes.includes(`${path} linguist-generated\n`), path);
  }
});
