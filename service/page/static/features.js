// The section of feature vectors: while one moves sliders, the answer follows.
import { predict, Rejected, takesFeatures, title } from "./api.js";
import { Answer, brief, number, spoken, textElement } from "./answer.js";
import { curlOfJson } from "./curl.js";
import { Latest } from "./latest.js";
import { drawMap } from "./surface.js";

const STEPS = 200; // of a slider
const BEYOND = 0.25; // of the range, on both sides: values there get a warning
const SETTLED = 500; // milliseconds without a change, after which a screen reader speaks
const STALE = 300; // milliseconds after which an answer to other values is shown no more

const isKnown = (feature) => Number.isFinite(feature.minimum) && Number.isFinite(feature.maximum);
const lowest = (feature) => (isKnown(feature) ? feature.minimum : -1);
const highest = (feature) => (isKnown(feature) && feature.maximum > feature.minimum ? feature.maximum : lowest(feature) + 2);

// Within each feature's range, at this share of it.
const EXAMPLES = { Middle: () => 0.5, Low: () => 0.1, High: () => 0.9, Random: () => Math.random() };

export function startFeatures(models) {
  const vectors = models.filter(takesFeatures);
  if (!vectors.length) return false;
  const element = (id) => document.getElementById(id);
  const live = new Latest();
  const answer = new Answer();
  element("vector-answer").append(answer.element);
  let [model] = vectors;
  let fields = []; // for each feature { value(), set(value) }
  let [settled, waiting, generation] = [0, 0, 0];

  element("vector-model").append(...vectors.map((one, i) => new Option(title(one), String(i))));
  const first = vectors.findIndex((one) => one.name === "iris");
  element("vector-model").value = String(Math.max(0, first));

  function choose() {
    model = vectors[Number(element("vector-model").value)];
    answer.empty();
    element("map").hidden = true;
    answer.title = title(model);
    element("vector-summary").textContent = `${model.task}, ${model.features.length} feature${model.features.length > 1 ? "s" : ""}, `
      + `${model.labels.length ? `labels ${model.labels.join(", ")}` : model.targets.map((target) => target.name).join(", ")}`;
    fields = model.features.map((feature) => (feature.categories?.length ? wordField(feature, changed) : numberField(feature, changed)));
    element("sliders").replaceChildren(...fields.map((field) => field.element));
    changed();
  }

  function say(words) {
    element("vector-spoken").textContent = words;
  }

  function refuse(message) {
    answer.reject(message);
    element("vector-brief").textContent = message;
    say(message);
  }

  function changed() {
    generation += 1;
    clearTimeout(settled);
    clearTimeout(waiting);
    const wrong = fields.find((field) => !field.isValid());
    if (wrong) {
      live.cancel();
      refuse(`enter a number for ${wrong.name}`);
      return;
    }
    waiting = setTimeout(() => answer.empty(), STALE);
    live.submit(ask);
  }

  async function ask(signal) {
    const [asked, number, values, started] = [model, generation, fields.map((field) => field.value()), performance.now()];
    const body = { instances: [Object.fromEntries(asked.features.map((feature, i) => [feature.name, values[i]]))] };
    element("features-curl").textContent = curlOfJson(asked, body);
    const found = await predict(asked, body, "", signal).catch((error) => {
      if (error.name === "AbortError") throw error;
      return error;
    });
    if (signal.aborted || asked !== model || (number !== generation && performance.now() - started > STALE)) return;
    if (number === generation) clearTimeout(waiting);
    if (found instanceof Error) refuse(found.message);
    else {
      answer.show(found, asked.targets);
      element("vector-brief").textContent = brief(found);
      settled = setTimeout(() => say(spoken(found)), SETTLED);
    }
    await drawMap(element("map"), asked, values, signal).catch((error) => {
      element("map").hidden = true; // the answer stands without it
      if (!(error instanceof Rejected) && error.name !== "AbortError") throw error;
    });
  }

  for (const [name, share] of Object.entries(EXAMPLES)) {
    const button = textElement("button", name);
    button.type = "button";
    button.addEventListener("click", () => {
      model.features.forEach((feature, i) => {
        const at = share();
        const words = feature.categories ?? [];
        fields[i].set(words.length ? words[Math.min(words.length - 1, Math.floor(at * words.length))]
          : lowest(feature) + at * (highest(feature) - lowest(feature)));
      });
      changed();
    });
    element("examples").append(button);
  }
  const moveTo = (event) => {
    if (!event.buttons) return;
    const box = event.target.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
    model.features.forEach((feature, i) => fields[i].set(lowest(feature) + Math.min(1, Math.max(0, shares[i])) * (highest(feature) - lowest(feature))));
    changed();
  };
  for (const kind of ["pointerdown", "pointermove"]) element("surface").addEventListener(kind, moveTo);
  element("sliders").addEventListener("submit", (event) => event.preventDefault());
  element("vector-model").addEventListener("change", choose);
  choose();
  return true;
}

let counter = 0;

function labelled(feature, input, more = []) {
  const field = document.createElement("div");
  field.className = "field";
  const label = textElement("label", feature.name);
  label.htmlFor = input.id = `feature-${(counter += 1)}`;
  field.append(label, input, ...more);
  return field;
}

// A slider, and the number, which may be outside its range.
function numberField(feature, changed) {
  const [low, high] = [lowest(feature), highest(feature)];
  const margin = BEYOND * (high - low);
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: low - margin, max: high + margin, step: (high - low) / STEPS });
  const exact = document.createElement("input");
  Object.assign(exact, { type: "number", step: "any" });
  exact.setAttribute("aria-label", `${feature.name}, as a number`);
  const missing = document.createElement("input");
  missing.type = "checkbox";
  missing.setAttribute("aria-label", `${feature.name} is missing`);
  const isValid = () => missing.checked || (exact.value !== "" && exact.validity.valid);
  const set = (value) => {
    slider.value = value;
    exact.value = Number(value.toPrecision(7));
    missing.checked = false;
  };
  slider.addEventListener("input", () => { set(Number(slider.value)); changed(); });
  exact.addEventListener("input", () => {
    slider.value = exact.value;
    missing.checked = false;
    exact.setAttribute("aria-invalid", String(!isValid()));
    changed();
  });
  missing.addEventListener("change", changed);
  const range = textElement("small", isKnown(feature) ? `${number(feature.minimum)} to ${number(feature.maximum)} seen in training` : "range unknown");
  const absent = textElement("label", "missing");
  absent.prepend(missing);
  set((low + high) / 2);
  const element = labelled(feature, slider, [exact, range, ...(feature.may_be_missing ? [absent] : [])]);
  return { element, set, isValid, name: feature.name, value: () => (missing.checked ? null : Number(exact.value)) };
}

function wordField(feature, changed) {
  const select = document.createElement("select");
  select.append(...feature.categories.map((word) => new Option(word)), ...(feature.may_be_missing ? [new Option("missing", "\0")] : []));
  select.addEventListener("change", changed);
  return { element: labelled(feature, select), isValid: () => true, set: (word) => { select.value = word; }, value: () => (select.value === "\0" ? null : select.value) };
}
