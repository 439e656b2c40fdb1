"use strict";
/* Draws the graphs as lists of nodes with lines between them, a hundred rows at a time, when they come into view.
   Uses graphs.js, and `element`, `count` and `size` of common.js. */

const ROW = 28, LANE = 14, LANES = 10, CHUNK = 100;
const middle = (lane) => 10 + Math.min(lane, LANES) * LANE;

/* The lane of each node, and the lanes that pass through its row. A value keeps its lane until its last reader. */
const lanesOf = (graph) => {
  const last = graph.op.map(() => -1);
  graph.inputs.forEach((inputs, at) => inputs.forEach((each) => { last[each] = at; }));
  const held = [], rows = [];
  graph.inputs.forEach((inputs, at) => {
    const passing = [], entering = [];
    held.forEach((source, lane) => {
      if (source === null) return;
      if (inputs.includes(source)) entering.push(lane);
      if (last[source] > at) passing.push(lane);
    });
    const ending = entering.filter((lane) => last[held[lane]] === at);
    let own = ending.length ? ending[0] : held.findIndex((source) => source === null);
    if (own < 0) own = held.length;
    for (const lane of ending) held[lane] = null;
    held[own] = last[at] > at ? at : null;
    rows.push({ own, passing, entering, leaving: last[at] > at });
  });
  return { rows, width: middle(Math.max(0, ...rows.map((row) => Math.max(row.own, ...row.passing, ...row.entering)))) + 12 };
};

const lines = (rows, from, to, width) => {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", width);
  svg.setAttribute("height", (to - from) * ROW);
  svg.setAttribute("aria-hidden", "true");
  let path = "", dots = "";
  for (let at = from; at < to; at += 1) {
    const { own, passing, entering, leaving } = rows[at];
    const top = (at - from) * ROW, centre = top + ROW / 2, x = middle(own);
    for (const lane of passing) path += `M${middle(lane)} ${top}V${top + ROW}`;
    for (const lane of entering) path += lane === own ? `M${x} ${top}V${centre}` : `M${middle(lane)} ${top}C${middle(lane)} ${centre} ${x} ${top} ${x} ${centre}`;
    if (leaving) path += `M${x} ${centre}V${top + ROW}`;
    dots += `M${x - 4} ${centre}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0`;
  }
  for (const [shape, fill, stroke] of [[path, "none", "var(--before)"], [dots, "var(--accent)", "none"]]) {
    const drawn = document.createElementNS(SVG, "path");
    drawn.setAttribute("d", shape);
    drawn.setAttribute("fill", fill);
    drawn.setAttribute("stroke", stroke);
    drawn.setAttribute("stroke-width", "1.5");
    svg.append(drawn);
  }
  return svg;
};

const views = [];

const view = (details) => {
  const side = Number(details.dataset.graph), graph = data.graphs[side];
  const box = details.querySelector(".nodes"), search = details.querySelector("input"), status = details.querySelector(".found");
  const { rows, width } = lanesOf(graph);
  const texts = graph.op.map((op, at) => `${op} ${graph.name[at]} ${graph.key[at]} ${graph.shape[at]} ${graph.precision[at]} ${graph.line[at]}`.toLowerCase());
  const watcher = new IntersectionObserver((entries) => {
    for (const each of entries) if (each.isIntersecting) each.target.fill();
  }, { root: box, rootMargin: "600px" });
  let shown = [], plain = true;

  const row = (at) => {
    const item = element("li");
    item.tabIndex = -1;
    item.dataset.at = at;
    item.style.paddingLeft = `${plain ? width : 6}px`;
    item.append(element("span", graph.op[at], "op"));
    const name = element("span", graph.name[at] || graph.key[at], "name");
    name.title = `${graph.name[at]} computes ${graph.key[at]}`;
    item.append(name, element("span", `${graph.precision[at]} ${graph.shape[at]}`, "shape"));
    if (!kept(side, at)) item.append(element("span", side ? "new" : "gone", "badge"));
    if (graph.line[at]) item.append(element("span", graph.line[at], "badge held"));
    const cost = [];
    if (graph.macs[at]) cost.push(`${count(graph.macs[at])} MACs`);
    if (graph.bytes[at]) cost.push(size(graph.bytes[at]));
    item.append(element("span", cost.join(", "), "cost"));
    return item;
  };

  const show = (list, all) => {
    [shown, plain] = [list, all];
    watcher.disconnect();
    box.replaceChildren();
    for (let from = 0; from < list.length; from += CHUNK) {
      const to = Math.min(from + CHUNK, list.length), part = element("ol");
      part.start = from + 1;
      part.style.height = `${(to - from) * ROW}px`;
      part.fill = () => {
        if (part.childElementCount) return;
        part.append(...list.slice(from, to).map(row));
        if (all) part.append(lines(rows, from, to, width));
      };
      box.append(part);
      watcher.observe(part);
    }
    box.firstElementChild?.fill();
  };

  const focus = (position) => {
    const at = Math.max(0, Math.min(position, shown.length - 1));
    const part = box.children[Math.floor(at / CHUNK)];
    if (!part) return;
    part.fill();
    const item = part.children[at % CHUNK];
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  };
  const jump = (at) => {
    if (!shown.includes(at)) { search.value = ""; find(); }
    focus(shown.indexOf(at));
  };
  const find = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = graph.op.map((_, at) => at);
    const list = words.length ? all.filter((at) => words.every((word) => texts[at].includes(word))) : all;
    status.textContent = words.length ? `${list.length} of ${all.length} nodes` : "";
    show(list, !words.length);
  };
  search.addEventListener("input", find);
  box.addEventListener("click", (event) => event.target.closest("li")?.focus());
  box.addEventListener("focusin", (event) => {
    const item = event.target.closest("li");
    if (item) choose(side, Number(item.dataset.at));
  });
  box.addEventListener("keydown", (event) => {
    const item = document.activeElement.closest("li");
    const position = item ? shown.indexOf(Number(item.dataset.at)) : -1;
    const moves = { ArrowDown: position + 1, ArrowUp: position - 1, PageDown: position + 15, PageUp: position - 15, Home: 0, End: shown.length - 1 };
    if (event.key in moves) { event.preventDefault(); focus(moves[event.key]); }
    if (event.key === "Enter" && item) {
      const there = twin(side, Number(item.dataset.at));
      if (there !== undefined) opened(1 - side).jump(there);
      else status.textContent = "the other model does not have this value or this node";
    }
  });
  find();
  return { jump };
};

const drawers = [...document.querySelectorAll("details.graph")];
const opened = (side) => {
  drawers[side].open = true;
  views[side] ??= view(drawers[side]);
  return views[side];
};
drawers.forEach((details, side) => details.addEventListener("toggle", () => { if (details.open) opened(side); }));
