// What a model of one or two features predicts in all of their ranges, from one request.
import { infer } from "./api.js";
import { number } from "./answer.js";

const GRID = 60; // points a side; of one feature CURVE
const CURVE = 240;
const COLOURS = [[142, 68, 173], [39, 134, 90], [211, 112, 20], [41, 110, 190], [190, 50, 60], [110, 110, 40], [90, 90, 110], [0, 130, 140], [160, 90, 60], [60, 60, 60]];

let drawn = { model: null, picture: null }; // it is the same for every point

const isPlain = (feature) => !feature.categories?.length && Number.isFinite(feature.minimum) && feature.maximum > feature.minimum;

export async function drawMap(figure, model, values, signal) {
  const features = model.features;
  figure.hidden = features.length > 2 || !features.every(isPlain) || model.task === "mixture";
  if (figure.hidden) return;
  const canvas = figure.querySelector("canvas");
  if (drawn.model !== model) {
    const picture = await (features.length === 2 ? surface(model, canvas, signal) : curve(model, canvas, signal));
    drawn = { model, picture };
    figure.querySelector("figcaption").textContent = caption(model);
    canvas.setAttribute("aria-label", caption(model));
    figure.querySelector("ul").replaceChildren(...legend(model, picture.range));
  }
  const context = canvas.getContext("2d");
  context.putImageData(drawn.picture.data, 0, 0);
  const at = features.map((feature, i) => (values[i] - feature.minimum) / (feature.maximum - feature.minimum));
  const [x, y] = [at[0] * canvas.width, features.length === 2 ? (1 - at[1]) * canvas.height : null];
  context.lineWidth = 3;
  context.strokeStyle = "#000";
  context.beginPath();
  if (y === null) { context.moveTo(x, 0); context.lineTo(x, canvas.height); } else context.arc(x, y, 8, 0, 2 * Math.PI);
  context.stroke();
  context.strokeStyle = "#fff";
  context.lineWidth = 1;
  context.stroke();
}

function caption(model) {
  const [first, second] = model.features;
  const across = `${first.name} from ${number(first.minimum)} (left) to ${number(first.maximum)} (right)`;
  const kind = second ? "The labels, stronger where they are more probable" : "The probabilities of the labels, 0 (bottom) to 1 (top)";
  const what = model.labels.length ? kind : "The predicted values";
  return second ? `${what}: ${across}; ${second.name} from ${number(second.minimum)} (bottom) to ${number(second.maximum)} (top)` : `${what}: ${across}`;
}

// The colour of each label, or of the lowest and the highest value.
function legend(model, [low, high]) {
  const names = model.labels.length ? model.labels.slice(0, COLOURS.length) : model.features.length === 1
    ? model.targets.map((target) => `${target.name}, ${number(low)} (bottom) to ${number(high)} (top)`) : [`up to ${number(high)}; white: ${number(low)}`];
  return names.map((name, i) => {
    const [item, chip] = [document.createElement("li"), document.createElement("i")];
    chip.style.background = `rgb(${COLOURS[i].join(" ")})`;
    item.append(chip, name);
    return item;
  });
}

function grid(features, side) {
  const at = (feature, i) => feature.minimum + (i / (side - 1)) * (feature.maximum - feature.minimum);
  const rows = new Float32Array(side ** features.length * features.length);
  if (features.length === 1) return rows.map((_, i) => at(features[0], i));
  for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) rows.set([at(features[0], x), at(features[1], side - 1 - y)], 2 * (y * side + x));
  return rows;
}

async function surface(model, canvas, signal) {
  const outputs = await infer(model, grid(model.features, GRID), GRID * GRID, signal);
  const scores = outputs.probabilities ?? outputs.values;
  const columns = scores.length / (GRID * GRID);
  const [low, high] = range(scores);
  const picture = new ImageData(GRID, GRID);
  for (let i = 0; i < GRID * GRID; i += 1) {
    const row = scores.subarray(i * columns, (i + 1) * columns);
    const best = outputs.probabilities ? row.indexOf(Math.max(...row)) : 0;
    const strength = outputs.probabilities ? 0.25 + 0.75 * ((row[best] - 1 / columns) / (1 - 1 / columns)) : (row[0] - low) / (high - low || 1);
    picture.data.set([...COLOURS[best % COLOURS.length].map((part) => 255 - strength * (255 - part)), 255], 4 * i);
  }
  const small = new OffscreenCanvas(GRID, GRID);
  small.getContext("2d").putImageData(picture, 0, 0);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  return { data: context.getImageData(0, 0, canvas.width, canvas.height), range: [low, high] };
}

async function curve(model, canvas, signal) {
  const outputs = await infer(model, grid(model.features, CURVE), CURVE, signal);
  const scores = outputs.probabilities ?? outputs.values;
  const columns = scores.length / CURVE;
  const [low, high] = outputs.probabilities ? [0, 1] : range(scores);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.lineWidth = 3;
  for (let column = 0; column < columns; column += 1) {
    context.strokeStyle = `rgb(${COLOURS[column % COLOURS.length].join(" ")})`;
    context.beginPath();
    for (let i = 0; i < CURVE; i += 1) {
      const share = (scores[i * columns + column] - low) / (high - low || 1);
      context.lineTo((i / (CURVE - 1)) * canvas.width, canvas.height * (0.96 - 0.92 * share));
    }
    context.stroke();
  }
  return { data: context.getImageData(0, 0, canvas.width, canvas.height), range: [low, high] };
}

function range(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}
