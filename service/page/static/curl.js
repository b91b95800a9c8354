// The command that sends the same request from a terminal.
import { BASE, modelPath } from "./api.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function address(model, query) {
  return quoted(new URL(`${modelPath(model)}:predict${query}`, BASE).href);
}

export function curlOfJson(model, body, query = "") {
  return `curl ${address(model, query)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`;
}

export function curlOfFile(model, name, query = "") {
  const escaped = name.replace(/["\\]/g, "\\$&");
  return `curl ${address(model, query)} \\\n  -F ${quoted(`image=@"${escaped}"`)}`;
}

// A drawing is in no file, so the command has all of it.
export async function curlOfDrawing(model, blob, query = "") {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return curlOfJson(model, { instances: [{ b64: base64 }] }, query);
}

export function copyButtons() {
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copies);
      await navigator.clipboard?.writeText(source.textContent).catch(() => {});
      getSelection().selectAllChildren(source); // where there is no clipboard, it is ready for Ctrl+C
      button.textContent = navigator.clipboard ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}
