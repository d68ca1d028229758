// Markdown as DOM nodes. Text only ever becomes text nodes, so nothing in it is markup of the page.

const INLINE =
  /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|__(?=\S)([\s\S]*?\S)__(?!\w)|~~(?=\S)([\s\S]*?\S)~~|\*(?=[^\s*])([\s\S]*?[^\s*])\*(?!\*)|(?<!\w)_(?=[^\s_])([\s\S]*?[^\s_])_(?!\w)|\[([^\]\n]+)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>()"']*[^\s<>()"'.,;:!?])|\\([\\`*_{}[\]()#+.!~>|-])/g;
const FENCE = /^ {0,3}(```+|~~~+)\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/;

/** An element with these children. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/**
 * Shows the text in the element. What stands at the beginning and has not changed keeps its nodes, so that a growing answer costs its
 * last block only, and a selection in it stays.
 */
export function show(element, text) {
  const sources = blocks(text);
  const before = element.sources ?? [];
  let same = 0;
  while (same < sources.length && same < before.length && sources[same] === before[same]) same++;
  while (element.childNodes.length > same) element.lastChild.remove();
  for (let i = same; i < sources.length; i++) element.append(block(sources[i].split("\n")));
  element.sources = sources;
}

/** The text cut into blocks, each the lines of one top-level node. */
function blocks(text) {
  const found = [];
  let lines = [];
  let fence = null;
  const flush = () => {
    if (lines.length) found.push(lines.join("\n"));
    lines = [];
  };
  const all = text.replace(/\r\n?/g, "\n").split("\n");
  for (let i = 0; i < all.length; i++) {
    const line = all[i];
    const opening = FENCE.exec(line);
    const inList = lines.length > 0 && ITEM.test(lines[0]);
    if (fence) {
      lines.push(line);
      if (closes(line, fence)) {
        fence = null;
        if (!inList) flush();
      }
    } else if (opening && !(inList && /^\s/.test(line))) {
      flush();
      fence = opening[1];
      lines.push(line);
    } else if (!line.trim()) {
      const next = all[i + 1] ?? "";
      if (inList && (ITEM.test(next) || /^\s{2,}\S/.test(next))) lines.push(line);
      else flush();
    } else if (HEADING.test(line) || (RULE.test(line) && !inList)) {
      flush();
      found.push(line);
    } else {
      const starts = (pattern) => pattern.test(line) && lines.length > 0 && !pattern.test(lines[0]) && !inList;
      if (starts(ITEM) || starts(/^\s*>/)) flush();
      lines.push(line);
    }
  }
  flush();
  return found;
}

const closes = (line, fence) => line.trim().startsWith(fence) && !line.trim().replaceAll(fence[0], "");

function block(lines) {
  const first = lines[0];
  const fence = FENCE.exec(first);
  if (fence) return code(lines, fence);
  const heading = HEADING.exec(first);
  if (heading) return el(`h${Math.max(3, Math.min(6, heading[1].length + 1))}`, {}, ...inline(heading[2]));
  if (lines.length === 1 && RULE.test(first)) return el("hr");
  if (/^\s*>/.test(first)) {
    const quote = el("blockquote");
    show(quote, lines.map((line) => line.replace(/^\s*> ?/, "")).join("\n"));
    return quote;
  }
  if (ITEM.test(first)) return list(lines);
  if (lines.length > 1 && first.includes("|") && TABLE_RULE.test(lines[1])) return table(lines);
  return el("p", {}, ...inline(lines.join("\n")));
}

function code(lines, fence) {
  const closed = lines.length > 1 && closes(lines.at(-1), fence[1]);
  const text = lines.slice(1, closed ? -1 : undefined).join("\n");
  const copy = el("button", { type: "button", class: "quiet copy" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Not allowed";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  const head = el("div", { class: "code-head" }, el("span", {}, fence[2] || "text"), copy);
  const body = el("pre", { tabindex: "0", role: "group", "aria-label": `Code, ${fence[2] || "text"}` }, el("code", {}, text));
  return el("div", { class: "code" }, head, body);
}

function list(lines) {
  const [, indent, marker] = ITEM.exec(lines[0]);
  const ordered = /\d/.test(marker);
  const node = el(ordered ? "ol" : "ul", ordered && parseInt(marker, 10) !== 1 ? { start: parseInt(marker, 10) } : {});
  let item = [];
  const flush = () => {
    if (!item.length) return;
    const li = el("li");
    show(li, item.join("\n"));
    // A single paragraph stands in its item without one.
    if (li.firstChild?.nodeName === "P") li.firstChild.replaceWith(el("span", {}, ...li.firstChild.childNodes));
    node.append(li);
    item = [];
  };
  for (const line of lines) {
    const match = ITEM.exec(line);
    if (match && match[1].length <= indent.length + 1) {
      flush();
      item.push(match[3]);
    } else {
      item.push(line.replace(new RegExp(`^\\s{0,${indent.length + marker.length + 1}}`), ""));
    }
  }
  flush();
  return node;
}

function table(lines) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const aligned = cells(lines[1]).map((cell) => (/^:?-+:$/.test(cell) ? "number" : null));
  const row = (line, name) => el("tr", {}, ...cells(line).map((cell, i) => el(name, { class: aligned[i] }, ...inline(cell))));
  const body = el("tbody", {}, ...lines.slice(2).map((line) => row(line, "td")));
  const grid = el("table", {}, el("thead", {}, row(lines[0], "th")), body);
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, grid);
}

function inline(text, depth = 0) {
  const nodes = [];
  let last = 0;
  if (depth < 8) {
    for (const match of text.matchAll(INLINE)) {
      if (match.index > last) nodes.push(text.slice(last, match.index));
      nodes.push(span(match, depth + 1));
      last = match.index + match[0].length;
    }
  }
  if (last < text.length) nodes.push(text.slice(last));
  return nodes;
}

function span(match, depth) {
  const [whole, , tick, strong, strong2, gone, em, em2, label, target, bare, escaped] = match;
  if (tick !== undefined) return el("code", {}, tick.trim() || tick);
  if (strong !== undefined || strong2 !== undefined) return el("strong", {}, ...inline(strong ?? strong2, depth));
  if (gone !== undefined) return el("del", {}, ...inline(gone, depth));
  if (em !== undefined || em2 !== undefined) return el("em", {}, ...inline(em ?? em2, depth));
  if (label !== undefined) return /^(https?:|mailto:)/i.test(target) ? link(target, ...inline(label, depth)) : whole;
  if (bare !== undefined) return link(bare, bare);
  return escaped;
}

const link = (target, ...children) =>
  el("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
