// The live cluster, as the gateway reads it from the log.

import { cause } from "./chat.js";
import { amount, blocks, duration } from "./draw.js";
import { call, events, pause } from "./http.js";
import { el } from "./markdown.js";

const WINDOW_MS = 3000;
const SILENT_MS = 1000;
const WAIT_MAX_MS = 4000;
const LOG_STANDS_MS = 2000;
const CELLS_MAX = 64;
const byId = (id) => document.getElementById(id);
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const sum = (all, of) => all.reduce((total, each) => total + of(each), 0);

export class Cluster {
  /**
   * @param key gives the API key
   * @param seen hears of every picture
   * @param state hears "live", "wait" or "refused", with words
   */
  constructor(key, seen, state) {
    this.key = key;
    this.seen = seen;
    this.state = state;
    this.pictures = [];
    this.cards = new Map();
    this.waking = new AbortController();
  }

  /** The key is another one: try at once. */
  wake() {
    this.waking.abort();
    this.waking = new AbortController();
  }

  async run() {
    let wait = 250;
    for (;;) {
      const signal = this.waking.signal;
      try {
        const response = await call("/cluster", this.key(), { signal });
        for await (const event of events(response)) {
          wait = 250;
          this.take(JSON.parse(event.data));
        }
        this.state("wait", "reconnecting");
      } catch (failure) {
        const refused = failure.status === 401 || failure.status === 403;
        if (!signal.aborted) this.state(refused ? "refused" : "wait", refused ? failure.message : "reconnecting", failure.status);
      }
      if (!signal.aborted) await pause(wait, signal);
      wait = Math.min(WAIT_MAX_MS, wait * 2);
    }
  }

  take(picture) {
    this.pictures.push(picture);
    while (this.pictures.length > 2 && picture.time_ms - this.pictures[1].time_ms > WINDOW_MS) this.pictures.shift();
    if (this.pictures[0].since_ms !== picture.since_ms) this.pictures = [picture];
    const stands = picture.log_age_ms < 0 || picture.log_age_ms > LOG_STANDS_MS;
    this.state(stands ? "wait" : "live", stands ? `log silent for ${duration(picture.log_age_ms)}` : "live");
    this.seen(picture);
    this.draw();
  }

  /** Change a second of a count over the last pictures. */
  rate(of) {
    const [first, last] = [this.pictures[0], this.pictures.at(-1)];
    const seconds = (last.time_ms - first.time_ms) / 1000;
    const [before, after] = [of(first), of(last)];
    return seconds > 0 && before !== undefined && after !== undefined ? Math.max(0, (after - before) / seconds) : null;
  }

  draw() {
    const picture = this.pictures.at(-1);
    if (!picture) return;
    this.drawFigures(picture);
    this.drawWorkers(picture);
    this.drawFailovers(picture);
    byId("queues").replaceChildren(this.queues(picture));
    this.drawPartitions(picture);
    byId("tenants").replaceChildren(this.tenants(picture));
    byId("since").textContent = `Counts since ${clock(picture.since_ms)}, when this gateway began to read for its viewers.`;
  }

  drawFigures(picture) {
    const live = picture.workers.filter((worker) => worker.silent_ms <= SILENT_MS);
    const models = live.flatMap((worker) => worker.models);
    const total = sum(models, (model) => model.kv_blocks);
    const used = total - sum(models, (model) => model.kv_blocks_free);
    const rate = this.rate((each) => sum(each.tenants, (tenant) => tenant.tokens));
    const all = [
      ["Workers", amount(live.length)],
      ["Running", amount(sum(models, (model) => model.running))],
      ["Queued", amount(sum(picture.models, (model) => model.queued) + sum(models, (model) => model.waiting))],
      ["KV used", total ? `${((100 * used) / total).toFixed(used ? 1 : 0)} %` : "–"],
      ["Tokens/s", rate === null ? "–" : amount(rate)],
    ];
    byId("figures").replaceChildren(...all.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  }

  drawWorkers(picture) {
    const names = new Set(picture.workers.map((worker) => worker.name));
    for (const [name, card] of this.cards) {
      if (!names.has(name)) {
        card.node.remove();
        this.cards.delete(name);
      }
    }
    for (const worker of picture.workers) {
      let card = this.cards.get(worker.name);
      if (!card) {
        card = { node: el("article", { class: "worker", "aria-label": `Worker ${worker.name}` }), models: new Map() };
        card.head = card.node.appendChild(el("p", { class: "worker-head" }));
        this.cards.set(worker.name, card);
        byId("workers").append(card.node);
      }
      this.drawWorker(card, worker);
    }
    if (!picture.workers.length) byId("workers").replaceChildren(el("p", { class: "empty" }, "No worker beats."));
    else byId("workers").querySelector(".empty")?.remove();
  }

  drawWorker(card, worker) {
    const silent = worker.silent_ms > SILENT_MS;
    const state = silent ? "lost" : worker.draining ? "draining" : "up";
    const words = silent ? `silent for ${duration(worker.silent_ms)}` : worker.draining ? "draining" : "up";
    const rate = this.rate((each) => each.workers.find((other) => other.name === worker.name)?.tokens);
    card.node.dataset.state = state;
    card.head.replaceChildren(
      el("span", { class: "dot", "aria-hidden": "true" }),
      el("b", {}, worker.name),
      el("span", { class: "muted" }, `slot ${worker.slot} · ${words}`),
      el("span", { class: "grow" }),
      el("span", { class: "rate" }, rate === null || silent ? "–" : amount(rate), el("small", {}, " tok/s")),
    );
    for (const model of worker.models) {
      let shown = card.models.get(model.name);
      if (!shown) {
        shown = { text: el("p", { class: "worker-model" }), batch: el("div", { class: "batch", role: "img" }) };
        shown.kv = el("canvas", { class: "kv", role: "img" });
        shown.note = el("p", { class: "muted small" });
        card.node.append(shown.text, shown.batch, shown.kv, shown.note);
        card.models.set(model.name, shown);
      }
      this.drawModel(shown, model);
      if (worker.again && !silent) shown.note.append(" · ", el("span", { class: "badge" }, `${worker.again} taken over`));
    }
  }

  drawModel(shown, model) {
    const used = model.kv_blocks - model.kv_blocks_free;
    const pace = [];
    if (model.decode_step_s > 0) pace.push(`step ${(model.decode_step_s * 1000).toFixed(1)} ms`);
    if (model.prefill_tokens_per_s > 0) pace.push(`prefill ${amount(model.prefill_tokens_per_s)} tok/s`);
    const waiting = model.waiting ? `, ${model.waiting} waiting` : "";
    shown.text.replaceChildren(el("b", {}, model.name), el("span", { class: "muted" }, [model.dtype, ...pace].filter(Boolean).join(" · ")));
    const places = Math.min(model.max_running, CELLS_MAX);
    const taken = model.max_running ? Math.ceil((model.running * places) / model.max_running) : 0;
    while (shown.batch.childNodes.length > places) shown.batch.lastChild.remove();
    while (shown.batch.childNodes.length < places) shown.batch.append(el("i"));
    shown.batch.childNodes.forEach((cell, i) => cell.classList.toggle("on", i < taken));
    shown.batch.setAttribute("aria-label", `Batch: ${model.running} of ${model.max_running} places${waiting}`);
    const each = blocks(shown.kv, model.kv_blocks, used);
    shown.kv.hidden = !model.kv_blocks;
    shown.kv.setAttribute("aria-label", `KV cache: ${used} of ${model.kv_blocks} blocks used`);
    const cells = each > 1 ? `, ${amount(each)} a cell` : "";
    const kv = model.kv_blocks ? `KV ${amount(used)}/${amount(model.kv_blocks)} blocks${cells}` : "";
    shown.note.title = `A block holds ${model.block_tokens} tokens`;
    shown.note.textContent = [`batch ${model.running}/${model.max_running}${waiting}`, kv].filter(Boolean).join(" · ");
  }

  drawFailovers(picture) {
    const feed = byId("failovers");
    const key = (each) => `${each.time_ms} ${each.id} ${each.attempt}`;
    const known = new Set([...feed.children].map((item) => item.dataset.key));
    if (feed.querySelector(".empty") && picture.failovers.length) feed.replaceChildren();
    for (const each of picture.failovers) {
      if (known.has(key(each))) continue;
      const kept = each.kept > 0 ? `, goes on after ${amount(each.kept)} tokens` : "";
      feed.prepend(
        el(
          "li",
          { "data-key": key(each) },
          el("time", {}, clock(each.time_ms)),
          el("span", {}, el("b", {}, each.from || "?"), " → ", el("b", {}, each.to), ` ${cause(each.cause)}, attempt ${each.attempt}${kept}`),
        ),
      );
    }
    while (feed.children.length > 50) feed.lastChild.remove();
    if (!feed.children.length) feed.replaceChildren(el("li", { class: "empty" }, "None seen."));
  }

  queues(picture) {
    const rows = picture.models.map((model) => [
      model.name,
      amount(model.queued),
      amount(model.queued_tokens),
      model.drain_rate > 0 ? amount(model.drain_rate) : "–",
      amount(model.credits),
    ]);
    return table(["Model", "Queued", "Tokens", "Drains/s", "Credits"], rows, "No router beats.");
  }

  drawPartitions(picture) {
    const routers = picture.members.filter((member) => member.role === "router");
    const cells = picture.partitions.map((each) => {
      const owners = routers.filter((router) => router.partitions.includes(each.number)).map((router) => router.node);
      const rate = this.rate((seen) => seen.partitions.find((other) => other.number === each.number)?.records) ?? 0;
      const label = `Partition ${each.number}: ${owners.join(", ") || "no router"}, next offset ${each.position}, ${amount(rate)} records/s, ${each.open} open`;
      const level = Math.min(4, Math.ceil(Math.log10(rate + 1) * 1.6));
      const cell = el("div", { class: "partition", "data-level": level, "data-owned": owners.length > 0, title: label, role: "img", "aria-label": label });
      cell.append(el("b", {}, String(each.number)), el("small", {}, each.open ? `${each.open} open` : amount(each.position)));
      return cell;
    });
    byId("partitions").replaceChildren(...cells);
    const gateways = picture.members.filter((member) => member.role === "gateway").map((member) => member.node);
    const parts = routers.map((router) => `${router.node} owns ${router.partitions.length}`);
    byId("routers").textContent = `Routers: ${parts.join(", ") || "none"}. Gateways: ${gateways.join(", ") || "none"}.`;
  }

  tenants(picture) {
    const rows = picture.tenants.map((tenant) => [
      tenant.name,
      amount(tenant.admitted - tenant.ended),
      amount(tenant.ended),
      amount(this.rate((seen) => seen.tenants.find((other) => other.name === tenant.name)?.tokens) ?? 0),
      amount(tenant.tokens),
    ]);
    return table(["Tenant", "Open", "Ended", "Tokens/s", "Tokens"], rows, "No request began since.");
  }
}

function table(heads, rows, empty) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const row = (cells, name) => el("tr", {}, ...cells.map((cell, i) => el(i || name === "td" ? name : "th", { class: i ? "number" : null }, cell)));
  return el("table", {}, el("thead", {}, row(heads, "th")), el("tbody", {}, ...rows.map((cells) => row(cells, "td"))));
}
