// The conversation: what was asked, what was answered, and how the answers came.

import { Answer, begin, figures } from "./answer.js";
import { amount, duration, timeline } from "./draw.js";
import { el, show } from "./markdown.js";
import { Waterfall } from "./waterfall.js";

const STORE = "millrace.chat";
const SAVE_MS = 250;
const FINISH = { length: "cut at max tokens", tool_calls: "asked for tools", content_filter: "cut by a filter" };
const byId = (id) => document.getElementById(id);

export class Chat {
  constructor(settings) {
    this.settings = settings;
    this.turns = [];
    this.log = byId("log");
    this.prompt = byId("prompt");
    byId("composer").addEventListener("submit", (event) => (event.preventDefault(), this.send()));
    byId("stop").addEventListener("click", () => this.stop());
    byId("again").addEventListener("click", () => this.regenerate());
    byId("clear").addEventListener("click", () => this.clear());
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) (event.preventDefault(), this.send());
    });
    this.prompt.addEventListener("input", () => this.fit());
    document.addEventListener("keydown", (event) => this.key(event));
    addEventListener("pagehide", () => this.save());
    addEventListener("resize", () => this.turns.forEach((turn) => this.draw(turn)));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.turns.forEach((turn) => this.draw(turn)));
    this.load();
  }

  get running() {
    return this.turns.find((turn) => turn.answer?.running);
  }

  key(event) {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "Escape" && this.running) (event.preventDefault(), this.stop());
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) (event.preventDefault(), this.prompt.focus());
  }

  load() {
    const saved = JSON.parse(sessionStorage.getItem(STORE) ?? "{}");
    this.prompt.value = saved.draft ?? "";
    for (const turn of saved.turns ?? []) {
      if (turn.role === "user") this.addUser(turn.content);
      else this.follow(this.addAnswer(turn.data));
    }
    this.fit();
    this.controls();
  }

  save() {
    clearTimeout(this.saving);
    this.saving = null;
    const turns = this.turns.map((turn) =>
      turn.role === "user" ? { role: "user", content: turn.content } : { role: "assistant", data: turn.answer.data },
    );
    try {
      sessionStorage.setItem(STORE, JSON.stringify({ turns, draft: this.prompt.value }));
    } catch {
      // The browser's store is full: the conversation goes on, a reload would lose it.
    }
  }

  saveSoon() {
    this.saving ??= setTimeout(() => this.save(), SAVE_MS);
  }

  fit() {
    this.prompt.style.height = "auto";
    this.prompt.style.height = `${Math.min(this.prompt.scrollHeight + 2, innerHeight * 0.35)}px`;
  }

  send() {
    const content = this.prompt.value.trim();
    if (!content || this.running) return;
    const parameters = this.parameters();
    if (!parameters) return;
    this.prompt.value = "";
    this.fit();
    this.addUser(content);
    this.ask(parameters);
  }

  /** Null, and said on the page, when it cannot be sent. */
  parameters() {
    const parameters = this.settings.body();
    if (!parameters) this.say("A parameter in the settings is wrong.");
    else if (!this.settings.model) this.say("No model is served yet.");
    else return parameters;
    return null;
  }

  ask(parameters) {
    const messages = this.settings.system ? [{ role: "system", content: this.settings.system }] : [];
    for (const turn of this.turns) {
      if (turn.role === "user") messages.push({ role: "user", content: turn.content });
      else if (turn.answer.data.text) messages.push({ role: "assistant", content: turn.answer.data.text });
    }
    const options = { include_usage: true, continuous_usage_stats: true };
    const body = { ...parameters, model: this.settings.model, messages, stream: true, stream_options: options };
    this.follow(this.addAnswer(begin(body)));
    this.log.scrollTop = this.log.scrollHeight;
  }

  async follow(turn) {
    this.controls();
    if (!turn.answer.running) return;
    this.say("The answer is being written.");
    this.log.setAttribute("aria-busy", "true");
    const ticking = setInterval(() => this.draw(turn), 200);
    this.save();
    await turn.answer.run(this.settings.key);
    clearInterval(ticking);
    this.log.removeAttribute("aria-busy");
    this.draw(turn);
    this.save();
    this.controls();
    const said = { done: "The answer is complete.", stopped: "Stopped.", failed: `The answer failed: ${turn.answer.data.error}` };
    this.say(said[turn.answer.data.state] ?? "");
  }

  stop() {
    this.running?.answer.stop(this.settings.key);
  }

  regenerate() {
    if (this.running || this.turns.at(-1)?.role !== "assistant") return;
    const parameters = this.parameters();
    if (!parameters) return;
    this.turns.pop().node.remove();
    this.ask(parameters);
  }

  clear() {
    this.stop();
    this.turns = [];
    this.log.replaceChildren();
    this.save();
    this.controls();
    this.prompt.focus();
  }

  controls() {
    const running = Boolean(this.running);
    byId("stop").hidden = !running;
    byId("send").hidden = running;
    byId("again").disabled = running || this.turns.at(-1)?.role !== "assistant";
    byId("clear").disabled = !this.turns.length;
    if (!this.turns.length) this.log.replaceChildren(this.welcome());
    else this.log.querySelector(".welcome")?.remove();
  }

  welcome() {
    return el(
      "div",
      { class: "welcome" },
      el("p", { class: "big" }, "Every token here comes out of a log."),
      el("p", {}, "Reload the page or kill a worker while an answer runs: it goes on where it was."),
    );
  }

  say(text) {
    byId("status").textContent = text;
  }

  addUser(content) {
    const node = el("article", { class: "turn user", "aria-label": "You" }, el("h2", { class: "unseen" }, "You"), el("p", { class: "said" }, content));
    this.turns.push({ role: "user", content, node });
    this.log.append(node);
  }

  addAnswer(data) {
    const turn = { role: "assistant" };
    turn.text = el("div", { class: "text" });
    turn.thought = el("details", { class: "thought", hidden: true }, el("summary", {}, "Reasoning"), el("div"));
    turn.error = el("p", { class: "error", hidden: true });
    turn.figures = el("p", { class: "figures-line" });
    turn.canvas = el("canvas", { class: "timeline", role: "img" });
    turn.notes = el("p", { class: "notes" });
    turn.answer = new Answer(data, () => {
      this.drawSoon(turn);
      this.saveSoon();
    });
    const waterfall = new Waterfall(turn.answer, () => this.settings.key);
    turn.node = el(
      "article",
      { class: "turn answer", "aria-label": `Answer of ${data.body.model}` },
      el("h2", { class: "unseen" }, "Answer"),
      turn.thought,
      turn.text,
      turn.error,
      el("div", { class: "came" }, turn.figures, turn.canvas, turn.notes, waterfall.button, waterfall.panel),
    );
    this.turns.push(turn);
    this.log.append(turn.node);
    this.draw(turn);
    return turn;
  }

  drawSoon(turn) {
    turn.frame ??= requestAnimationFrame(() => this.draw(turn));
  }

  draw(turn) {
    if (turn.role === "user") return;
    cancelAnimationFrame(turn.frame);
    turn.frame = null;
    const data = turn.answer.data;
    const log = this.log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    show(turn.text, data.text);
    turn.node.dataset.state = data.state;
    turn.thought.hidden = !data.thought;
    if (data.thought) show(turn.thought.lastChild, data.thought);
    turn.error.hidden = !data.error;
    turn.error.textContent = data.error ?? "";
    this.drawFigures(turn, data);
    timeline(turn.canvas, data, turn.answer.now());
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  drawFigures(turn, data) {
    const { first, rate, pause } = figures(data);
    const usage = data.usage;
    const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
    const figure = (value, name) => el("span", {}, el("b", {}, value), ` ${name}`);
    const shown = [
      figure(duration(first ?? (data.state === "running" ? turn.answer.now() : null)), first === null ? "waiting" : "to first token"),
      figure(rate === null ? "–" : amount(rate), "tokens/s"),
      figure(amount(data.tokens), "tokens"),
      usage ? figure(amount(usage.prompt_tokens), cached ? `in the prompt, ${amount(cached)} cached` : "in the prompt") : null,
      pause !== null ? figure(duration(pause), "longest pause") : null,
    ];
    turn.figures.replaceChildren(...shown.filter(Boolean));
    turn.canvas.setAttribute("aria-label", `Timeline: ${turn.figures.textContent}, ${data.failovers.length} fail-overs`);
    const notes = [];
    if (data.state === "stopped") notes.push("stopped");
    if (FINISH[data.finish]) notes.push(FINISH[data.finish]);
    for (const each of data.failovers) {
      const kept = each.kept > 0 ? ` after ${amount(each.kept)} tokens` : "";
      notes.push(el("span", { class: "failed-over" }, `${each.from || "a worker"} → ${each.to}${kept} (${cause(each.cause)})`));
    }
    for (const [from, until] of data.breaks) notes.push(`connection back after ${duration(until - from)}`);
    if (data.id) notes.push(el("code", { title: "Request" }, data.id));
    notes.push(this.trace(data.trace));
    turn.notes.replaceChildren(...notes.flatMap((note, i) => (i ? [" · ", note] : [note])));
  }

  trace(trace) {
    const url = this.settings.traceUrl(trace);
    const short = `trace ${trace.slice(0, 8)}…`;
    return url ? el("a", { href: url, target: "_blank", rel: "noopener" }, short) : el("span", { title: trace }, `trace ${trace}`);
  }

  /** Fail-overs that the cluster's stream told of. */
  failovers(all) {
    for (const turn of this.turns) if (turn.answer) all.forEach((each) => turn.answer.failover(each));
  }
}

/** Causes of claims in words. */
export const cause = (text) => (text || "again").replaceAll("_", " ");
