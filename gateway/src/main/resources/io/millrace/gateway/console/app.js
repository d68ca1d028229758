// The console: puts chat, settings and cluster together.

import { Chat } from "./chat.js";
import { Cluster } from "./cluster.js";
import { call } from "./http.js";
import { Settings } from "./settings.js";

const MODELS_MS = 10_000;
const byId = (id) => document.getElementById(id);

const settings = new Settings();
const chat = new Chat(settings);
const cluster = new Cluster(
  () => settings.key,
  (picture) => {
    chat.failovers(picture.failovers);
    if (!picture.models.every((model) => settings.offers(model.name))) models();
  },
  (state, words, status) => {
    byId("link").dataset.state = state;
    byId("link-text").textContent = state === "refused" ? (status === 401 ? "API key?" : "not allowed") : words;
    byId("cluster-note").hidden = state !== "refused";
    byId("cluster-note").textContent = state === "refused" ? words : "";
    if (status === 401) settings.askForKey();
  },
);

let asking = false;
async function models() {
  if (asking) return;
  asking = true;
  try {
    const response = await call("/v1/models", settings.key);
    settings.offer((await response.json()).data);
    settings.keyWorks();
  } catch (failure) {
    if (failure.status === 401) settings.askForKey();
  } finally {
    asking = false;
  }
}

function view(name) {
  document.body.dataset.view = name;
  for (const button of document.querySelectorAll("nav button")) {
    button.setAttribute("aria-pressed", String(button.dataset.to === name));
  }
  cluster.draw();
}

for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => view(button.dataset.to));
}
byId("key").addEventListener("change", () => {
  settings.save();
  models();
  cluster.wake();
});
view("chat");
models();
setInterval(models, MODELS_MS);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cluster.draw());
cluster.run();
if (matchMedia("(min-width: 760px)").matches) byId("prompt").focus();
