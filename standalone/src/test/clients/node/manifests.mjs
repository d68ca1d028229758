// Each manifest below MANIFESTS against the schemas of Kubernetes, KEDA and Strimzi: their validators find what is missing or wrong, their
// types what they do not know.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { parseAllDocuments } from "yaml";
import { report } from "./report.mjs";

const PACKAGES = { "keda.sh": "@kubernetes-models/keda", "kafka.strimzi.io": "@kubernetes-models/strimzi-kafka-operator" };

function moduleOf({ apiVersion, kind }) {
  const owner = PACKAGES[apiVersion.split("/")[0]] ?? "kubernetes-models";
  return `${owner}/${apiVersion}/${kind}`;
}

function misfits(documents) {
  const folder = join(import.meta.dirname, "types");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "manifests.ts");
  const lines = documents.map(
    (each, i) => `import type { I${each.kind} as T${i} } from "${moduleOf(each)}"; export const d${i}: T${i} = ${JSON.stringify(each)};`,
  );
  writeFileSync(file, lines.join("\n"));
  const program = ts.createProgram([file], {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    types: [],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  });
  const found = documents.map(() => []);
  for (const each of ts.getPreEmitDiagnostics(program)) {
    const line = each.file?.fileName.endsWith("manifests.ts") ? each.file.getLineAndCharacterOfPosition(each.start).line : 0;
    found[line].push(ts.flattenDiagnosticMessageText(each.messageText, "\n"));
  }
  return found;
}

const documents = readdirSync(process.env.MANIFESTS, { recursive: true })
  .filter((name) => name.endsWith(".yaml"))
  .sort()
  .flatMap((name) => parseAllDocuments(readFileSync(join(process.env.MANIFESTS, name), "utf8")).map((each) => each.toJS()))
  .filter((each) => each.kind !== "Kustomization" && each.kind !== "Component");

const broken = structuredClone(documents.find((each) => each.kind === "Deployment"));
broken.spec.template.spec.containers[0].imagePolicy = "Never";
const brokenScaler = structuredClone(documents.find((each) => each.kind === "ScaledObject"));
brokenScaler.spec.minReplicas = 1;
const found = misfits([...documents, broken, brokenScaler]);

const checks = {
  "a misspelt field is found": () => {
    assert.match(found.at(-2).join(), /imagePolicy/);
    assert.match(found.at(-1).join(), /minReplicas/);
  },
};
documents.forEach((each, i) => {
  checks[`${each.kind} ${each.metadata.name}`] = async () => {
    assert.deepEqual(found[i], []);
    const model = await import(moduleOf(each));
    new model[each.kind](each).validate();
  };
});
await report(checks);
