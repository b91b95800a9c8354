// The section of drawings and pictures: while one draws, the answers follow.
import { predict, readsDigits, Rejected, takesImages, title } from "./api.js";
import { Answer, brief, likeliest, percent, spoken } from "./answer.js";
import { curlOfDrawing, curlOfFile } from "./curl.js";
import { Drawing } from "./drawing.js";
import { Latest } from "./latest.js";
import { occlusionMap, paintMap, pixelsOf } from "./occlusion.js";

const QUERY = "?debug=ink";
const PAUSE = 60; // milliseconds between two requests while one draws
const SETTLED = 500; // milliseconds without a change, after which a screen reader speaks
const STALE = 300; // milliseconds after which an answer of an earlier drawing is shown no more
const SMALL_FILE = 60_000; // bytes: the command has all of a smaller one

export function startDigits(models) {
  const images = models.filter(takesImages);
  if (!images.length) return false;
  const element = (id) => document.getElementById(id);
  const live = new Latest(PAUSE);
  const maps = new Latest();
  let [settled, waiting, generation, answers] = [0, 0, 0, []];

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

  function arrange() {
    answers = chosen().map((model) => {
      const answer = new Answer();
      answer.title = title(model);
      return answer;
    });
    element("answers").replaceChildren(...answers.map((answer) => answer.element));
    element("digits-curl-model").textContent = `(${title(chosen()[0])})`;
    element("occlusion").closest("label").hidden = !readsDigits(chosen()[0]);
    changed();
  }

  function clearMap() {
    maps.cancel();
    const heat = element("heat");
    heat.getContext("2d").clearRect(0, 0, heat.width, heat.height);
    element("occlusion-legend").textContent = "";
  }

  // Nothing is left of what was said of an earlier drawing.
  function forget() {
    answers.forEach((answer) => answer.empty());
    for (const text of ["spoken", "brief", "digits-curl"]) element(text).textContent = "";
  }

  function changed() {
    generation += 1;
    clearTimeout(settled);
    clearTimeout(waiting);
    clearMap();
    element("drawing-hint").hidden = !drawing.isEmpty && !drawing.isHidden;
    element("drawing-hint").textContent = drawing.isHidden ? "This browser cannot show this picture" : element("drawing-hint").dataset.hint;
    element("clear").setAttribute("aria-disabled", String(drawing.isEmpty));
    if (drawing.isEmpty) {
      live.cancel();
      forget();
      return;
    }
    waiting = setTimeout(forget, STALE);
    element("answers").setAttribute("aria-busy", "true");
    live.submit(ask);
  }

  async function ask(signal) {
    const [models, asked, number, started] = [chosen(), answers, generation, performance.now()];
    const [blob, file] = [await drawing.blob(), drawing.file];
    const isDown = drawing.isDown;
    const found = await Promise.all(models.map((model) => predict(model, blob, QUERY, signal).catch((error) => {
      if (error.name === "AbortError") throw error;
      return error;
    })));
    const isCurrent = number === generation;
    if (signal.aborted || asked !== answers || (!isCurrent && performance.now() - started > STALE)) return;
    if (isDown && found.some((one) => one instanceof Rejected)) return; // it is not drawn to its end
    if (isCurrent) {
      clearTimeout(waiting);
      element("answers").removeAttribute("aria-busy");
    }
    found.forEach((one, i) => (one instanceof Error ? asked[i].reject(one.message) : asked[i].show(one)));
    element("brief").textContent = found[0] instanceof Error ? found[0].message : brief(found[0]);
    if (!isCurrent) return;
    element("digits-curl").textContent = file && file.size > SMALL_FILE
      ? curlOfFile(models[0], file.name, QUERY) : await curlOfDrawing(models[0], blob, QUERY);
    settled = setTimeout(() => speak(models, found), SETTLED);
    if (!(found[0] instanceof Error) && number === generation) maps.submit((stopped) => explain(models[0], found[0].prediction, stopped));
  }

  function speak(models, found) {
    element("spoken").textContent = found.map((one, i) => `${models.length > 1 ? `${title(models[i])}: ` : ""}`
      + `${one instanceof Error ? one.message : spoken(one)}`).join(". ");
  }

  async function explain(model, prediction, signal) {
    if (!element("occlusion").checked || !readsDigits(model)) return;
    const { ink } = prediction;
    const image = await pixelsOf(ink.png);
    const [label] = likeliest(prediction);
    const map = await occlusionMap(model, image, label, signal).catch((error) => {
      if (error instanceof Rejected) return null; // the answer stands without it
      throw error;
    });
    if (!map || signal.aborted) return;
    const strongest = paintMap(element("heat"), map, image, ink, drawing.placeOf(ink.width, ink.height));
    element("occlusion-legend").textContent = strongest < 0.01 ? "Orange: no single part of the ink matters much"
      : `Orange: covered, this ink would lower the probability of ${label} by up to ${percent(strongest)}`;
  }

  const drawing = new Drawing(element("drawing"), changed, (words) => { element("spoken").textContent = words; });
  element("drawing-hint").dataset.hint = element("drawing-hint").textContent;
  fillSelects();
  arrange();

  const show = (file) => { if (file && !element("digits").hidden) drawing.show(file); };
  element("undo").addEventListener("click", () => drawing.undo());
  element("clear").addEventListener("click", () => drawing.clear());
  element("pen").addEventListener("input", (event) => { drawing.width = Number(event.target.value); });
  element("occlusion").addEventListener("change", changed);
  for (const select of ["model", "beside"]) element(select).addEventListener("change", arrange);
  for (const input of ["file", "camera"]) {
    element(input).addEventListener("change", (event) => { show(event.target.files[0]); event.target.value = ""; });
  }
  addEventListener("paste", (event) => show(event.clipboardData?.files[0]));
  addEventListener("dragover", (event) => { event.preventDefault(); element("paper").classList.add("over"); });
  for (const end of ["dragleave", "drop"]) addEventListener(end, () => element("paper").classList.remove("over"));
  addEventListener("drop", (event) => { event.preventDefault(); show(event.dataTransfer.files[0]); });
  return true;
}
