// What is set beside the conversation: kept in this browser, the key in this tab.

const FIELDS = ["model", "system", "temperature", "top_p", "max_tokens", "seed", "more", "trace-url"];
const NUMBERS = {
  temperature: { name: "Temperature", least: 0, most: 2 },
  top_p: { name: "Top p", least: 0, most: 1 },
  max_tokens: { name: "Max tokens", least: 1, most: 2 ** 31 - 1, whole: true },
  seed: { name: "Seed", least: -(2 ** 53), most: 2 ** 53, whole: true },
};
const STORE = "millrace.settings";
const KEY = "millrace.key";

const field = (id) => document.getElementById(id);

/** The JSON object of that text; null when it is none. */
function object(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** The form on the page. */
export class Settings {
  constructor() {
    const saved = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    for (const id of FIELDS) if (id !== "model" && saved[id]) field(id).value = saved[id];
    this.wanted = saved.model ?? "";
    field("key").value = sessionStorage.getItem(KEY) ?? "";
    field("settings-form").addEventListener("input", () => this.save());
    field("settings-form").addEventListener("submit", (event) => event.preventDefault());
  }

  save() {
    if (field("model").value) this.wanted = field("model").value;
    const values = Object.fromEntries(FIELDS.map((id) => [id, field(id).value]));
    localStorage.setItem(STORE, JSON.stringify({ ...values, model: this.wanted }));
    sessionStorage.setItem(KEY, this.key);
    this.body();
  }

  get key() {
    return field("key").value.trim();
  }

  get model() {
    return field("model").value;
  }

  get system() {
    return field("system").value.trim();
  }

  /** Where that trace is shown; null when nobody said. */
  traceUrl(trace) {
    const pattern = field("trace-url").value.trim();
    return /^https?:\/\/.+\{trace\}/.test(pattern) ? pattern.replace("{trace}", trace) : null;
  }

  /** Parameters for a request's body; null, and said on the page, when one is no number. */
  body() {
    const body = {};
    let error = "";
    for (const [id, range] of Object.entries(NUMBERS)) {
      const text = field(id).value.trim();
      const value = Number(text);
      const bad = text !== "" && !(value >= range.least && value <= range.most && (!range.whole || Number.isInteger(value)));
      field(id).setAttribute("aria-invalid", String(bad));
      if (bad) error ||= `${range.name}: a ${range.whole ? "whole " : ""}number from ${range.least} to ${range.most}.`;
      else if (text !== "") body[id] = value;
    }
    const more = object(field("more").value.trim() || "{}");
    field("more").setAttribute("aria-invalid", String(!more));
    if (more) Object.assign(body, more);
    else error ||= 'More fields: a JSON object, as {"top_k": 40}.';
    const said = field("settings-error");
    said.textContent = error;
    said.hidden = !error;
    return error ? null : body;
  }

  /** Names to choose from: those that generate. */
  offer(models) {
    const names = models.filter((model) => !model.tasks || model.tasks.includes("generate")).map((model) => model.id);
    const select = field("model");
    if ([...select.options].map((option) => option.value).join("\n") === names.join("\n")) return;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(this.wanted)) select.value = this.wanted;
  }

  /** Whether that name can be chosen. */
  offers(name) {
    return [...field("model").options].some((option) => option.value === name);
  }

  /** The server wants a key, or another one. */
  askForKey() {
    field("key").placeholder = "this server wants one";
    field("key").setAttribute("aria-invalid", "true");
  }

  keyWorks() {
    field("key").removeAttribute("aria-invalid");
  }
}
