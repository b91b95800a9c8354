// The section of drawings and pictures: while one draws, the answers follow.
import { predict, readsDigits, Rejected, takesImages, title } from "./api.js";
import { Answer, percent, spoken } from "./answer.js";
import { curlOfDrawing, curlOfFile } from "./curl.js";
import { Drawing } from "./drawing.js";
import { Latest } from "./latest.js";
import { occlusionMap, paintMap, pixelsOf } from "./occlusion.js";

const QUERY = "?debug=ink";
const PAUSE = 60; // milliseconds between two requests while one draws
const SETTLED = 500; // milliseconds without a change, after which a screen reader speaks

const sentence = (found) => (found instanceof Error ? found.message : spoken(found));

export function startDigits(models) {
  const images = models.filter(takesImages);
  if (!images.length) return false;
  const element = (id) => document.getElementById(id);
  const live = new Latest(PAUSE);
  const maps = new Latest();
  let settled;

  const chosen = () => [element("model"), element("beside")].filter((one) => one.value).map((one) => images[Number(one.value)]);

  function fillSelects() {
    const names = images.map((model, i) => new Option(title(model), String(i)));
    element("model").append(...names.map((one) => one.cloneNode(true)));
    element("beside").append(new Option("nothing", ""), ...names);
    const first = images.findIndex((model) => model.name === "digits");
    element("model").value = String(Math.max(0, first));
    if (!images.some(readsDigits)) {
      element("digits-title").textContent = "Show a picture";
      document.querySelector('nav [href="#digits"]').textContent = "Pictures";
    }
  }

  let answers = [];

  function arrange() {
    answers = chosen().map((model) => {
      const answer = new Answer();
      answer.title = title(model);
      return answer;
    });
    element("answers").replaceChildren(...answers.map((answer) => answer.element));
    changed();
  }

  function clearMap() {
    maps.cancel();
    const heat = element("heat");
    heat.getContext("2d").clearRect(0, 0, heat.width, heat.height);
    element("occlusion-legend").textContent = "";
  }

  function changed() {
    clearTimeout(settled);
    clearMap();
    element("drawing-hint").hidden = !drawing.isEmpty;
    element("undo").disabled = element("clear").disabled = drawing.isEmpty;
    if (drawing.isEmpty) {
      live.cancel();
      answers.forEach((answer) => answer.empty());
      for (const text of ["spoken", "brief", "digits-curl"]) element(text).textContent = "";
      return;
    }
    live.submit(ask);
  }

  async function ask(signal) {
    const [asked, blob, name] = [answers, await drawing.blob(), drawing.fileName];
    const found = await Promise.all(chosen().map((model, i) => predict(model, blob, QUERY, signal)
      .then((answer) => { asked[i].show(answer); return answer; })
      .catch((error) => {
        if (error.name === "AbortError") throw error;
        asked[i].reject(error.message);
        return error;
      })));
    if (signal.aborted) return;
    const [model] = chosen();
    element("brief").textContent = sentence(found[0]);
    element("digits-curl").textContent = name ? curlOfFile(model, name, QUERY) : await curlOfDrawing(model, blob, QUERY);
    clearTimeout(settled);
    settled = setTimeout(() => speak(found), SETTLED);
    if (!(found[0] instanceof Error)) maps.submit((stopped) => explain(model, found[0].prediction, stopped));
  }

  function speak(found) {
    const names = chosen();
    element("spoken").textContent = found
      .map((one, i) => `${names.length > 1 ? `${title(names[i])}: ` : ""}${sentence(one)}`).join(". ");
  }

  async function explain(model, prediction, signal) {
    if (!element("occlusion").checked || !readsDigits(model)) return;
    const { ink } = prediction;
    const image = await pixelsOf(ink.png);
    const [label] = Object.entries(prediction.probabilities).reduce((best, one) => (one[1] > best[1] ? one : best));
    const map = await occlusionMap(model, image, label, signal).catch((error) => {
      if (error instanceof Rejected) return null; // the answer stands without it
      throw error;
    });
    if (!map || signal.aborted) return;
    const strongest = paintMap(element("heat"), map, image, ink, drawing.placeOf(ink.width, ink.height));
    element("occlusion-legend").textContent = strongest > 0
      ? `Orange: covered, this ink would lower the probability of ${label} by up to ${percent(strongest)}` : "";
  }

  const drawing = new Drawing(element("drawing"), changed);
  fillSelects();
  arrange();

  const show = (file) => { if (file) drawing.show(file); };
  element("undo").addEventListener("click", () => drawing.undo());
  element("clear").addEventListener("click", () => drawing.clear());
  element("pen").addEventListener("input", (event) => { drawing.width = Number(event.target.value); });
  element("occlusion").addEventListener("change", changed);
  for (const select of ["model", "beside"]) element(select).addEventListener("change", arrange);
  for (const input of ["file", "camera"]) {
    element(input).addEventListener("change", (event) => { show(event.target.files[0]); event.target.value = ""; });
  }
  addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file && !element("digits").hidden) show(file);
  });
  addEventListener("dragover", (event) => { event.preventDefault(); element("paper").classList.add("over"); });
  for (const end of ["dragleave", "drop"]) addEventListener(end, () => element("paper").classList.remove("over"));
  addEventListener("drop", (event) => { event.preventDefault(); show(event.dataTransfer.files[0]); });
  return true;
}
