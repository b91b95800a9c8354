// The service's public API, as every client has it.

const KEY = "digitalis-api-key"; // in this tab alone

export const BASE = new URL("../", import.meta.url); // of the service, whatever a proxy puts in front

export class Rejected extends Error {}

export const rememberKey = (key) => sessionStorage.setItem(KEY, key);

function withKey(options) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...options, headers: { ...options.headers, Authorization: `Bearer ${key}` } } : options;
}

// Follows a link with the key, which a browser does not send by itself. A report is saved: as a part of this page it has no style.
export const followWithKey = (link, path) => link.addEventListener("click", async (event) => {
  if (!sessionStorage.getItem(KEY)) return;
  event.preventDefault();
  const { response } = await send(path);
  const found = document.createElement("a");
  found.href = URL.createObjectURL(await response.blob());
  if (path.endsWith("/report")) found.download = "report.html";
  else found.target = "_blank";
  found.click();
});

async function send(path, options = {}) {
  const started = performance.now();
  let response;
  try {
    response = await fetch(new URL(path, BASE), withKey(options));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Rejected("the service does not respond");
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    if (response.status === 401) document.getElementById("key-form").hidden = false;
    throw new Rejected(body.error ?? `the service responds with ${response.status}`);
  }
  return { response, started };
}

export async function getJson(path) {
  const { response } = await send(path);
  return jsonOf(response);
}

async function jsonOf(response) {
  try {
    return await response.json();
  } catch {
    throw new Rejected("what answers is not the service: it is not JSON");
  }
}

export const modelPath = (model, protocol = "v1") => `${protocol}/models/${encodeURIComponent(model.name)}/versions/${model.version}`;

// The prediction of one instance, with the milliseconds of the round trip and of the server.
export async function predict(model, body, query = "", signal = undefined) {
  const headers = body instanceof Blob ? { "Content-Type": body.type || "image/png" } : { "Content-Type": "application/json" };
  const content = body instanceof Blob ? body : JSON.stringify(body);
  const { response, started } = await send(`${modelPath(model)}:predict${query}`, { method: "POST", headers, body: content, signal });
  const answer = await jsonOf(response);
  return { prediction: answer.predictions[0], roundTrip: performance.now() - started, server: serverTimes(response) };
}

function serverTimes(response) {
  const times = {};
  for (const part of (response.headers.get("Server-Timing") ?? "").split(",")) {
    const found = /^\s*(\w+);dur=([\d.]+)/.exec(part);
    if (found) times[found[1]] = Number(found[2]);
  }
  return times;
}

// Many rows as binary tensors of the Open Inference Protocol: outputs by name, as Float32Array.
export async function infer(model, array, rows, signal = undefined) {
  const [input] = model.signature.inputs;
  const tensor = {
    name: input.name, datatype: input.datatype, shape: [rows, ...input.shape.slice(1)],
    parameters: { binary_data_size: array.byteLength },
  };
  const json = new TextEncoder().encode(JSON.stringify({ inputs: [tensor], parameters: { binary_data_output: true } }));
  const { response } = await send(`${modelPath(model, "v2")}/infer`, {
    method: "POST", body: new Blob([json, array]), signal,
    headers: { "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": String(json.length) },
  });
  const buffer = await response.arrayBuffer();
  let at = Number(response.headers.get("Inference-Header-Content-Length"));
  const outputs = {};
  for (const output of JSON.parse(new TextDecoder().decode(buffer.slice(0, at))).outputs) {
    const end = at + output.parameters.binary_data_size;
    outputs[output.name] = new Float32Array(buffer.slice(at, end));
    at = end;
  }
  return outputs;
}

// Every version of every model that is ready, the newest first; each with its status.
export async function allModels() {
  const { models } = await getJson("v1/models");
  const newest = await Promise.all(models.map((name) => getJson(`v1/models/${encodeURIComponent(name)}`).catch(() => null)));
  const found = newest.filter(Boolean);
  const older = found.flatMap((model) => model.versions.filter((version) => version !== model.version)
    .map((version) => getJson(`v1/models/${encodeURIComponent(model.name)}/versions/${version}`).catch(() => null)));
  return [...found, ...(await Promise.all(older)).filter(Boolean)];
}

export const takesImages = (model) => model.task !== "tensors" && model.signature.inputs[0].name === "image";
export const takesFeatures = (model) => model.features.length > 0;
export const readsDigits = (model) => takesImages(model) && (model.preprocess?.method ?? "digit") === "digit";
export const title = (model) => `${model.name} ${model.version}`;
