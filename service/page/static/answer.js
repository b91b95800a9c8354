// The answer to one request: what is predicted, how surely, and how long it took.

export function percent(value) {
  if (value > 0.9999 && value < 1) return "> 99.99 %";
  return `${(100 * value).toFixed(value > 0.9995 || value < 0.0005 ? 2 : 1)} %`;
}
export const number = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(5))));
// The most probable label, and its probability.
export const likeliest = ({ probabilities }) => Object.entries(probabilities).reduce((best, one) => (one[1] > best[1] ? one : best));
const SHOWN_BARS = 12;

export class Answer {
  constructor(template = document.getElementById("answer")) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#clear();
  }

  #part(selector) { return this.element.querySelector(selector); }

  set title(text) { this.#part("h3").textContent = text; }

  #clear(message = "") {
    for (const hidden of [".reason", ".warnings", ".unsure", ".seen", ".label"]) this.#part(hidden).hidden = true;
    for (const empty of [".bars", ".warnings", ".timing"]) this.#part(empty).replaceChildren();
    this.#part(".reason").textContent = message;
    this.#part(".reason").hidden = !message;
    this.element.classList.toggle("rejected", Boolean(message));
  }

  // No answer, as nothing is asked.
  empty() { this.#clear(); }

  // Why there is no answer.
  reject(message) { this.#clear(message.replace(/^the body: /, "")); }

  show({ prediction, roundTrip, server }, targets = []) {
    this.#clear();
    if (prediction.probabilities) this.#classification(prediction);
    else if (prediction.values) this.#values(prediction.values, targets);
    else if (prediction.quantiles) this.#mixture(prediction);
    this.#part(".warnings").append(...(prediction.warnings ?? []).map((warning) => textElement("li", warning)));
    this.#part(".warnings").hidden = !prediction.warnings;
    if (prediction.ink) this.#seen(prediction.ink);
    const stages = ["decode", "infer", "encode"].filter((name) => name in server).map((name) => `${name} ${server[name].toFixed(2)}`);
    const inside = server.total ? `the service took ${server.total.toFixed(2)} ms (${stages.join(", ")}); ` : "";
    this.#part(".timing").textContent = `${inside}round trip ${roundTrip.toFixed(1)} ms`;
  }

  #classification(prediction) {
    const entries = Object.entries(prediction.probabilities);
    const [label, probability] = likeliest(prediction);
    this.#headline(label, percent(probability));
    this.#part(".unsure").hidden = !prediction.unsure;
    this.#part(".reason").textContent = prediction.reason ?? "";
    this.#part(".reason").hidden = !prediction.reason;
    const shown = entries.length > SHOWN_BARS ? entries.toSorted((a, b) => b[1] - a[1]).slice(0, SHOWN_BARS) : entries;
    this.#part(".bars").append(...shown.map(([name, value]) => bar(name, value, percent(value), name === label)));
  }

  #values(values, targets) {
    const entries = Object.entries(values);
    if (entries.length === 1) this.#headline(number(entries[0][1]), entries[0][0]);
    this.#part(".bars").append(...entries.map(([name, value]) => {
      const target = targets.find((one) => one.name === name);
      const known = Number.isFinite(target?.minimum) && Number.isFinite(target?.maximum);
      const share = known ? (value - target.minimum) / (target.maximum - target.minimum || 1) : 0;
      return bar(name, Math.min(1, Math.max(0, share)), number(value), true);
    }));
  }

  #mixture({ mean, deviation, quantiles }) {
    this.#headline(number(mean), `mean, ± ${number(deviation)}`);
    const entries = Object.entries(quantiles);
    const [low, high] = [entries[0][1], entries.at(-1)[1]];
    this.#part(".bars").append(...entries.map(([name, value]) => bar(percent(Number(name)), (value - low) / (high - low || 1), number(value), false)));
  }

  #headline(label, beside) {
    this.#part(".label").hidden = false;
    this.#part(".label strong").textContent = label;
    this.#part(".probability").textContent = beside;
  }

  #seen(ink) {
    const isWhole = !ink.mask && !ink.untouched;
    const done = [ink.untouched ? "taken as it is" : isWhole ? `the whole picture of ${ink.width}x${ink.height} pixels` : `found at ${ink.box[0]}, ${ink.box[1]}, ${ink.box[2]}x${ink.box[3]} of ${ink.width}x${ink.height} pixels`];
    if (ink.inverted) done.push("inverted");
    if (ink.exif_orientation > 1) done.push(`turned (EXIF orientation ${ink.exif_orientation})`);
    if (ink.mask && !ink.untouched) done.push("ink cut out, scaled, centred");
    this.#part(".seen").hidden = false;
    this.#part(".seen img").src = ink.png;
    this.#part(".seen img").alt = "The image that the network saw";
    this.#part(".seen figcaption").textContent = `What the network saw: ${done.join("; ")}`;
  }
}

function bar(name, share, text, isFirst) {
  const row = document.createElement("li");
  row.classList.toggle("first", isFirst);
  const track = document.createElement("span");
  track.className = "track";
  track.style.setProperty("--share", String(share));
  row.append(textElement("span", name), track, textElement("span", text));
  return row;
}

export function textElement(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

// The answer in a few words.
export function brief({ prediction }) {
  if (prediction.probabilities) {
    const [label, probability] = likeliest(prediction);
    return `${label}, ${percent(probability)}${prediction.unsure ? ", unsure" : ""}`;
  }
  if (prediction.quantiles) return `mean ${number(prediction.mean)}, plus or minus ${number(prediction.deviation)}`;
  return Object.entries(prediction.values).map(([name, value]) => `${name} ${number(value)}`).join(", ");
}

// The answer for screen readers, with what is doubtful.
export function spoken(answer) {
  const { reason, warnings = [] } = answer.prediction;
  return [brief(answer), ...(reason ? [reason] : []), ...warnings].join(". ");
}
