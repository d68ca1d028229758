// One answer: sent once, and read until it has ended, over broken connections and reloads of the page.

import { Refused, call, events, hex, pause } from "./http.js";

const CHAT = "/v1/chat/completions";
const GIVE_UP_MS = 60_000;
const MARKS_MAX = 3000;
/** Worth another try, once a connection has stood before. */
const PASSING = [408, 425, 429, 500, 502, 503, 504];

/** All that is known of it, as it is kept over a reload. */
export function begin(body) {
  return {
    state: "running",
    body,
    key: hex(16),
    trace: hex(16),
    sentMs: Date.now(),
    id: null,
    lastId: null,
    text: "",
    thought: "",
    tokens: 0,
    usage: null,
    finish: null,
    error: null,
    marks: [],
    breaks: [],
    failovers: [],
  };
}

export class Answer {
  /** @param changed called after each event */
  constructor(data, changed) {
    this.data = data;
    this.changed = changed;
    this.aborting = new AbortController();
    this.opened = false;
  }

  get running() {
    return this.data.state === "running";
  }

  /** Milliseconds since it was sent. */
  now() {
    return Date.now() - this.data.sentMs;
  }

  /** Reads to its end; a reload's new object goes on where the old one was. */
  async run(key) {
    const resumed = this.data.id !== null || this.now() > 1000;
    let wait = 200;
    let lostMs = null;
    while (this.running) {
      try {
        const response = await this.open(key);
        wait = 200;
        if (lostMs !== null) this.data.breaks.push([lostMs, this.now()]);
        lostMs = null;
        this.opened = true;
        for await (const event of events(response)) this.take(event);
      } catch (failure) {
        if (!this.running) return;
        const passing = failure instanceof TypeError || PASSING.includes(failure.status);
        if (!passing || (failure instanceof Refused && !this.opened && !resumed)) {
          this.end("failed", failure.message);
          return;
        }
      }
      if (this.running) {
        lostMs ??= this.now();
        if (this.now() - lostMs > GIVE_UP_MS) {
          this.end("failed", "The connection was lost, and the server was not reached again within a minute.");
          return;
        }
        this.changed();
        await pause(wait, this.aborting.signal);
        wait = Math.min(4000, wait * 2);
      }
    }
  }

  /** The rest of its stream; the key makes the same request again the same answer, should its id not have come. */
  open(key) {
    const headers = { "X-Millrace-Event-Ids": "true", traceparent: `00-${this.data.trace}-${hex(8)}-01` };
    const signal = this.aborting.signal;
    if (this.data.id && this.data.lastId) {
      return call(`${CHAT}/${this.data.id}`, key, { headers: { ...headers, "Last-Event-ID": this.data.lastId }, signal });
    }
    this.data.text = this.data.thought = "";
    return call(CHAT, key, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json", "Idempotency-Key": this.data.key },
      body: JSON.stringify(this.data.body),
      signal,
    });
  }

  take(event) {
    const data = this.data;
    if (!this.running) return;
    if (event.id) data.lastId = event.id;
    if (event.data === "[DONE]") {
      this.end("done");
      return;
    }
    const chunk = JSON.parse(event.data);
    if (chunk.error) {
      this.end("failed", chunk.error.message);
      return;
    }
    data.id ??= chunk.id ?? null;
    const choice = chunk.choices?.[0];
    const delta = choice?.delta ?? {};
    data.text += delta.content ?? "";
    data.thought += delta.reasoning_content ?? delta.reasoning ?? "";
    for (const tool of delta.tool_calls ?? []) {
      if (tool.function?.name) data.text += `${data.text ? "\n\n" : ""}\`${tool.function.name}\` `;
      data.text += tool.function?.arguments ?? "";
    }
    data.finish = choice?.finish_reason ?? data.finish;
    if (chunk.usage) {
      data.usage = chunk.usage;
      const tokens = chunk.usage.completion_tokens;
      if (tokens > data.tokens) this.mark(tokens);
    }
    this.changed();
  }

  mark(tokens) {
    const marks = this.data.marks;
    this.data.tokens = tokens;
    marks.push([this.now(), tokens]);
    if (marks.length > MARKS_MAX) this.data.marks = marks.filter((mark, i) => i < 2 || i % 2 === 0 || i === marks.length - 1);
  }

  /** Stops it here at once, and at the server. */
  async stop(key) {
    if (!this.running) return;
    const id = this.data.id;
    this.end("stopped");
    this.aborting.abort();
    if (id) await call(`${CHAT}/${id}/cancel`, key, { method: "POST" }).catch(() => {});
  }

  end(state, error = null) {
    this.data.state = state;
    this.data.error = error;
    this.data.endMs = this.now();
    this.changed();
  }

  /** A fail-over that the log tells of; kept if it is this answer's. */
  failover(each) {
    const data = this.data;
    if (!data.id || !each.id || !data.id.endsWith(each.id) || data.failovers.some((f) => f.attempt === each.attempt)) return;
    const ms = each.time_ms - data.sentMs;
    data.failovers.push({ ...each, ms: ms >= 0 && ms <= this.now() ? ms : this.now() });
    this.changed();
  }
}

/** What can be said of its times, in milliseconds; null for what is not known. */
export function figures(data) {
  const marks = data.marks;
  const first = marks.length ? marks[0][0] : null;
  const last = marks.length ? marks.at(-1)[0] : null;
  const span = last - first;
  let pause = null;
  for (let i = 1; i < marks.length; i++) pause = Math.max(pause ?? 0, marks[i][0] - marks[i - 1][0]);
  return {
    first,
    last,
    pause,
    rate: span > 0 ? ((data.tokens - marks[0][1]) / span) * 1000 : null,
  };
}
