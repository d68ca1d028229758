// Drawings on canvases, in the page's colours.

function surface(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  if (!width || !height) return null;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  return { context, width, height, colour: (name) => style.getPropertyValue(`--${name}`).trim() };
}

/** When each token came, from the sending on: waiting, tokens, lost connections, fail-overs. */
export function timeline(canvas, data, nowMs) {
  const to = surface(canvas);
  if (!to) return;
  const { context, width, height, colour } = to;
  const end = Math.max(data.endMs ?? nowMs, data.marks.at(-1)?.[0] ?? 0, 1);
  const x = (ms) => Math.min(width - 1, (ms / end) * (width - 1));
  const base = height - 5;
  const first = data.marks[0]?.[0] ?? end;
  context.fillStyle = colour("line");
  context.fillRect(0, base, width, 1);
  context.fillStyle = colour("wait");
  context.fillRect(0, base - 3, x(first), 4);
  context.fillStyle = colour("warn-soft");
  for (const [from, until] of data.breaks) context.fillRect(x(from), 2, Math.max(2, x(until) - x(from)), base - 2);
  context.fillStyle = colour("accent");
  let before = 0;
  for (const [ms, tokens] of data.marks) {
    const tall = Math.min(base - 3, 6 + 3 * Math.log2(tokens - before + 1));
    context.fillRect(x(ms), base - tall, 1, tall);
    before = tokens;
  }
  for (const each of data.failovers) {
    context.fillStyle = colour("bad");
    context.fillRect(x(each.ms) - 1, 0, 2, base + 1);
    context.beginPath();
    context.arc(x(each.ms), 3, 3, 0, 7);
    context.fill();
  }
}

/** Cells of blocks, filled as far as used; returns how many blocks a cell stands for. */
export function blocks(canvas, total, used) {
  const to = surface(canvas);
  if (!to || !total) return 1;
  const { context, width, height, colour } = to;
  const size = 7;
  const gap = 2;
  const columns = Math.max(1, Math.floor((width + gap) / (size + gap)));
  const rows = Math.max(1, Math.floor((height + gap) / (size + gap)));
  const each = Math.ceil(total / (columns * rows));
  const cells = Math.ceil(total / each);
  for (let i = 0; i < cells; i++) {
    const part = Math.max(0, Math.min(1, used / each - i));
    const [left, top] = [(i % columns) * (size + gap), Math.floor(i / columns) * (size + gap)];
    context.fillStyle = colour("cell");
    context.fillRect(left, top, size, size);
    if (part > 0) {
      context.fillStyle = colour("accent");
      context.globalAlpha = 0.35 + 0.65 * part;
      context.fillRect(left, top, size, size);
      context.globalAlpha = 1;
    }
  }
  return each;
}

/** A duration for people. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(2)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** A number for people: three figures or so. */
export function amount(value) {
  if (value >= 10_000_000) return `${(value / 1e6).toFixed(0)} M`;
  if (value >= 100_000) return `${(value / 1e3).toFixed(0)} k`;
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}
