// The waterfall of one answer: where its time went, as Jaeger or the journal tells it.

import { call, pause } from "./http.js";
import { el } from "./markdown.js";

const AGAIN_MS = 1500;
/** Spans come a moment after the answer has ended. */
const TRIES_AFTER_END = 6;
const INDENT_PX = 12;
const PARTS = ["gateway", "router", "worker"];

export class Waterfall {
  /**
   * @param answer whose it is
   * @param key gives the API key
   */
  constructor(answer, key) {
    this.answer = answer;
    this.key = key;
    this.button = el("button", { type: "button", class: "quiet small", "aria-expanded": "false" }, "Waterfall");
    this.panel = el("div", { class: "fall", hidden: true });
    this.button.addEventListener("click", () => this.toggle());
  }

  toggle() {
    const opens = this.panel.hidden;
    this.panel.hidden = !opens;
    this.button.setAttribute("aria-expanded", String(opens));
    this.closing?.abort();
    if (opens) {
      this.closing = new AbortController();
      this.follow(this.closing.signal);
    }
  }

  /** Asks again until the answer has ended and all of its spans are there. */
  async follow(signal) {
    let tries = TRIES_AFTER_END;
    while (!signal.aborted && tries > 0) {
      if (!this.answer.running) tries--;
      const found = await this.ask(signal);
      if (found?.complete && !this.answer.running) return;
      await pause(AGAIN_MS, signal);
    }
  }

  async ask(signal) {
    const data = this.answer.data;
    const query = new URLSearchParams();
    if (data.id) query.set("request", data.id);
    if (data.id && data.lastId) query.set("event", data.lastId);
    try {
      const response = await call(`/cluster/traces/${data.trace}?${query}`, this.key(), { signal });
      const found = await response.json();
      this.draw(found);
      return found;
    } catch (failure) {
      if (!signal.aborted && !this.drawn) this.panel.replaceChildren(el("p", { class: "hint" }, failure.message));
      return null;
    }
  }

  draw(found) {
    this.drawn = true;
    const whole = Math.max(1, ...found.lines.map((line) => line.start_us + line.took_us));
    const legend = PARTS.map((part) => el("span", { class: "fall-part", "data-part": part }, part));
    const from = found.source === "jaeger" ? "from Jaeger" : "from the journal";
    const note = [from, found.why, found.complete ? "" : "not complete yet"].filter(Boolean).join(" · ");
    this.panel.replaceChildren(
      el("p", { class: "fall-head" }, el("b", {}, length(whole)), el("span", {}, note), el("span", { class: "grow" }), ...legend),
      el("ol", {}, ...found.lines.map((line) => row(line, whole))),
    );
  }
}

function row(line, whole) {
  const name = el("span", { class: "fall-name", title: line.name }, line.name);
  name.style.paddingLeft = `${line.depth * INDENT_PX}px`;
  const bar = el("i");
  bar.style.left = `${(100 * line.start_us) / whole}%`;
  bar.style.width = `${(100 * line.took_us) / whole}%`;
  const notes = line.notes.join(" · ");
  return el(
    "li",
    { "data-part": line.part, "data-failed": line.failed },
    name,
    el("span", { class: "fall-bar", "aria-hidden": "true" }, bar),
    el("span", { class: "fall-time" }, line.took_us ? length(line.took_us) : `at ${length(line.start_us)}`),
    notes ? el("span", { class: "fall-notes", title: notes }, notes) : null,
  );
}

/** Microseconds for people. */
function length(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(2)} s`;
}
