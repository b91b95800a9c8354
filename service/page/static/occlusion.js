// Which ink mattered: how far the probability falls when a patch is covered, for all patches in one request.
import { infer } from "./api.js";

const PATCH = 5; // pixels a side
const STRIDE = 2;
const PAPER = 0;
const INK = 64; // of 255: from here on a pixel is in the digit's box

// The pixels of a grey image that is given as a data URI: { pixels, width, height }.
export async function pixelsOf(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  return { pixels: Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i]), width: image.width, height: image.height };
}

// The fall of the probability at each pixel, 0 to 1: the mean of the patches that cover it.
export async function occlusionMap(model, { pixels, width, height }, label, signal) {
  const patches = [];
  for (let top = 1 - PATCH + STRIDE; top < height; top += STRIDE) {
    for (let left = 1 - PATCH + STRIDE; left < width; left += STRIDE) patches.push([left, top]);
  }
  const covered = patches.filter(([left, top]) => each(left, top, width, height).some((at) => pixels[at] > PAPER));
  const batch = new Uint8Array((covered.length + 1) * pixels.length);
  batch.set(pixels);
  covered.forEach(([left, top], i) => {
    const offset = (i + 1) * pixels.length;
    batch.set(pixels, offset);
    for (const at of each(left, top, width, height)) batch[offset + at] = PAPER;
  });
  const { probabilities } = await infer(model, batch, covered.length + 1, signal);
  const labels = model.labels.length;
  const index = model.labels.indexOf(label);
  const [sums, counts] = [new Float32Array(pixels.length), new Float32Array(pixels.length)];
  covered.forEach(([left, top], i) => {
    const fall = Math.max(0, probabilities[index] - probabilities[(i + 1) * labels + index]);
    for (const at of each(left, top, width, height)) {
      sums[at] += fall;
      counts[at] += 1;
    }
  });
  return sums.map((sum, at) => (counts[at] ? sum / counts[at] : 0));
}

function each(left, top, width, height) {
  const found = [];
  for (let y = Math.max(0, top); y < Math.min(height, top + PATCH); y += 1) {
    for (let x = Math.max(0, left); x < Math.min(width, left + PATCH); x += 1) found.push(y * width + x);
  }
  return found;
}

function boxOf({ pixels, width }) {
  let [left, top, right, bottom] = [width, Infinity, -1, -1];
  pixels.forEach((value, at) => {
    if (value < INK) return;
    const [x, y] = [at % width, Math.floor(at / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  });
  return right < 0 ? null : [left, top, right + 1 - left, bottom + 1 - top];
}

// Paint the map over the drawing: `ink` says where the image is in the picture, `place` where that is on the canvas.
export function paintMap(canvas, map, image, ink, place) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const strongest = map.reduce((most, value) => Math.max(most, value), 0);
  const box = ink.untouched ? [0, 0, image.width, image.height] : boxOf(image);
  if (!box || strongest <= 0) return 0;
  const heat = new OffscreenCanvas(image.width, image.height);
  const picture = new ImageData(image.width, image.height);
  map.forEach((value, at) => {
    if (image.pixels[at] > INK / 2) picture.data.set([255, 96, 0, 215 * Math.sqrt(value / Math.max(strongest, 0.1))], 4 * at);
  });
  heat.getContext("2d").putImageData(picture, 0, 0);
  const [left, top, width, height] = ink.box;
  const [across, down] = [(width / box[2]) * place.scale, (height / box[3]) * place.scale];
  context.drawImage(
    heat, place.left + left * place.scale - box[0] * across, place.top + top * place.scale - box[1] * down,
    image.width * across, image.height * down,
  );
  return strongest;
}
