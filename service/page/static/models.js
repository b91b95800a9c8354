// The section of all models: a card for each, with its versions.
import { BASE, followWithKey, modelPath, title } from "./api.js";
import { number, textElement } from "./answer.js";

export function startModels(models) {
  document.getElementById("cards").replaceChildren(...models.map(card));
  return models.length > 0;
}

function card(model) {
  const element = document.createElement("article");
  const list = document.createElement("dl");
  const [input] = model.signature.inputs;
  const main = ["accuracy", "balanced_accuracy", "r2", "log_likelihood"].find((name) => name in (model.metrics ?? {}));
  const facts = {
    task: model.task,
    input: `${input.name} ${input.datatype} [${input.shape.map((size) => (size < 0 ? "n" : size)).join(", ")}]`,
    predicts: (model.labels.length ? model.labels : model.targets.map((target) => target.name)).join(", ") || model.signature.outputs.map((output) => output.name).join(", "),
    ...(main ? { [main.replaceAll("_", " ")]: number(model.metrics[main]) } : {}),
    ...(model.metrics?.temperature ? { calibration: `temperature ${number(model.metrics.temperature)}` } : {}),
    ...(model.abstention ? { "unsure below": number(model.abstention.min_probability) } : {}),
    versions: model.versions.join(", "),
    "runs on": `${model.runtime}, ${model.device}`,
    digest: model.digest.slice(0, 19),
  };
  for (const [name, value] of Object.entries(facts)) list.append(textElement("dt", name), textElement("dd", value));
  const metrics = Object.entries(model.metrics ?? {}).filter(([name]) => name !== main);
  const more = document.createElement("details");
  const figures = document.createElement("dl");
  for (const [name, value] of metrics) figures.append(textElement("dt", name.replaceAll("_", " ")), textElement("dd", number(value)));
  more.append(textElement("summary", "All figures"), figures);
  more.hidden = !metrics.length;
  const links = document.createElement("p");
  const base = modelPath(model);
  for (const [name, path] of [["Report", `${base}/report`], ["Status", base], ["Origin", `${base}/metadata`], ["OpenAPI", `${base}/openapi.json`]]) {
    const link = textElement("a", name);
    link.href = new URL(path, BASE).href;
    link.setAttribute("aria-label", `${name} of ${title(model)}`);
    followWithKey(link, path);
    links.append(link, " ");
  }
  element.append(textElement("h3", title(model)), list, more, links);
  return element;
}
