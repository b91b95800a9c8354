// Starts the sections, and shows the one that the address names.
import { allModels, rememberKey } from "./api.js";
import { copyButtons } from "./curl.js";
import { startDigits } from "./digits.js";
import { startFeatures } from "./features.js";
import { startModels } from "./models.js";

const links = [...document.querySelectorAll('nav a[href^="#"]')];

function showSection(available) {
  const wanted = location.hash.slice(1);
  const current = available.find((id) => !document.getElementById(id).hidden);
  const shown = available.includes(wanted) ? wanted : (current ?? available[0]);
  for (const link of links) {
    const id = link.hash.slice(1);
    document.getElementById(id).hidden = id !== shown;
    link.hidden = !available.includes(id);
    if (id === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

document.getElementById("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  rememberKey(document.getElementById("key").value);
  location.reload();
});

try {
  const models = await allModels();
  const starts = { digits: startDigits, features: startFeatures, models: startModels };
  const available = Object.keys(starts).filter((id) => starts[id](models));
  showSection(available);
  addEventListener("hashchange", () => showSection(available));
  copyButtons();
} catch (error) {
  const problem = document.getElementById("problem");
  problem.textContent = `The models cannot be listed: ${error.message}`;
  problem.hidden = false;
}
document.getElementById("loading").hidden = true;
document.documentElement.dataset.ready = "true";
