// The section of all models: a card for each, with its versions.
import { modelPath, title } from "./api.js";
import { number, textElement } from "./answer.js";

export function startModels(models) {
  document.getElementById("cards").replaceChildren(...models.map(card));
  return models.length > 0;
}

function card(model) {
  const element = document.createElement("article");
  const list = document.createElement("dl");
  const [input] = model.signature.inputs;
  const facts = {
    task: model.task,
    input: `${input.name} ${input.datatype} [${input.shape.map((size) => (size < 0 ? "n" : size)).join(", ")}]`,
    predicts: (model.labels.length ? model.labels : model.targets.map((target) => target.name)).join(", ") || model.signature.outputs.map((output) => output.name).join(", "),
    ...Object.fromEntries(Object.entries(model.metrics ?? {}).map(([name, value]) => [name.replaceAll("_", " "), number(value)])),
    ...(model.abstention ? { "unsure below": number(model.abstention.min_probability) } : {}),
    versions: model.versions.join(", "),
    "runs on": `${model.runtime}, ${model.device}`,
    digest: model.digest.slice(0, 19),
  };
  for (const [name, value] of Object.entries(facts)) list.append(textElement("dt", name), textElement("dd", value));
  const links = document.createElement("p");
  const base = modelPath(model);
  for (const [name, path] of [["Report", `${base}/report`], ["Status", base], ["Origin", `${base}/metadata`], ["OpenAPI", `${base}/openapi.json`]]) {
    const link = textElement("a", name);
    link.href = path;
    links.append(link, " ");
  }
  element.append(textElement("h3", title(model)), list, links);
  return element;
}
