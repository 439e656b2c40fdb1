"use strict";
/* Draws the graphs as graphs, side by side: folded blocks, colours, search, and the lights of a recipe line. Uses
   graphs.js, layout.js and `element`, `count`, `size` of common.js. */

const MOST_OPEN = 60, MOST_LIT = 400;

/* --- colours ---------------------------------------------------------------------------------------------------- */

const milliseconds = (number) => `${Number(number.toPrecision(3))} ms`;
const measured = (name) => (graph) => graph.measured[name];
/* What nodes can be coloured by. `columns` gives the numbers of a graph, `format` shows one; `sum` says that a block has
   the sum of its nodes, and not the most striking one. Where `low` is set, small numbers are the striking ones. */
const METRICS = {
  macs: { title: "MACs", columns: (graph) => graph.macs, format: count, sum: true },
  bytes: { title: "bytes of weights", columns: (graph) => graph.bytes, format: size, sum: true },
  time: { title: "time", columns: measured("time"), format: milliseconds, sum: true },
  error: { title: "error (SQNR)", columns: measured("error"), format: (number) => `${number.toFixed(1)} dB`, low: true },
  kept: { title: "channels kept", columns: measured("kept"), format: (number) => `${Math.round(100 * number)} %`, low: true },
};
const usable = Object.entries(METRICS).filter(([, metric]) => data.graphs.some((graph) => metric.columns(graph)?.some((each) => each)));
const hues = ["--c1", "--c2", "--c3", "--c4"];
const precisions = [...new Set(data.graphs.flatMap((graph) => graph.precision))].sort();

/* --- one drawing ------------------------------------------------------------------------------------------------ */

const flows = [...document.querySelectorAll(".flow")].map((figure, side) => {
  const graph = data.graphs[side], blocks = blocksOf(graph);
  return { side, graph, blocks, canvas: figure.querySelector(".canvas"), open: new Set([0]), zoom: 1, boxes: new Map(), drawn: false };
});
const chosen = { side: 0, at: -1, metric: "", lit: null };

const svgElement = (tag, attributes, parent) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent?.append(made);
  return made;
};
/* The nodes in an entry. */
const nodesIn = (flow, entry) => {
  const number = Number(entry.slice(1));
  return entry[0] === "n" ? [number] : flow.blocks[number].entries.flatMap((each) => nodesIn(flow, each));
};
/* The number of an entry for the chosen colour; null when it has none. */
const numberOf = (flow, entry) => {
  const metric = METRICS[chosen.metric], column = metric?.columns(flow.graph);
  if (!column) return null;
  const numbers = nodesIn(flow, entry).map((at) => column[at]).filter((each) => each !== null && each !== undefined);
  if (!numbers.length) return null;
  return metric.sum ? numbers.reduce((sum, each) => sum + each, 0) : Math.min(...numbers);
};
const limits = (metric) => {
  const all = data.graphs.flatMap((graph) => metric.columns(graph) ?? []).filter((each) => each !== null);
  return [Math.min(...all), Math.max(...all)];
};
const colourOf = (flow, entry) => {
  if (chosen.metric === "precision") {
    const types = new Set(nodesIn(flow, entry).map((at) => flow.graph.precision[at]));
    if (types.size > 1) return null;
    return { hue: hues[precisions.indexOf([...types][0]) % hues.length], share: 0.5 };
  }
  const number = numberOf(flow, entry);
  if (number === null) return null;
  const metric = METRICS[chosen.metric], [least, most] = limits(metric);
  const share = metric.low ? (most - number) / (most - least || 1) : number / (most || 1);
  return { hue: "--c2", share: Math.min(1, Math.max(0, share)) };
};

const drawFlow = (flow) => {
  const format = METRICS[chosen.metric]?.format;
  const shown = (entry) => { const number = numberOf(flow, entry); return number ? format(number) : ""; };
  if (flow.metric !== chosen.metric) Object.assign(flow, { metric: chosen.metric, layouts: new Map() });
  const layout = layoutOf(flow.graph, flow.blocks, 0, flow.open, shown, flow.layouts);
  flow.drawn = true;
  flow.boxes.clear();
  flow.size = layout;
  const svg = svgElement("svg", { viewBox: `0 0 ${layout.width} ${layout.height}`, "aria-hidden": "true" });
  placeBoxes(flow, svg, layout, 0, 0);
  flow.canvas.replaceChildren(svg);
  zoomed(flow, flow.zoom);
  mark(flow);
};
const placeBoxes = (flow, parent, layout, left, top) => {
  let path = "";
  const arrows = [];
  for (const { to, points } of layout.lines) {
    points.forEach(([x, y], at) => { path += `${at ? "L" : "M"}${Math.round(x + left)} ${Math.round(y + top)}`; });
    if (to !== "out") arrows.push(points.at(-1));
  }
  svgElement("path", { d: path, class: "edge" }, parent);
  svgElement("path", { d: arrows.map(([x, y]) => `M${Math.round(x + left) - 4} ${Math.round(y + top) - 7}l4 7l4 -7z`).join(""), class: "arrow" }, parent);
  for (const box of layout.boxes) {
    const x = Math.round(box.x + left), y = Math.round(box.y + top);
    const group = svgElement("g", { class: box.inner ? "block open" : box.entry[0] === "b" ? "block" : "box", transform: `translate(${x} ${y})` }, parent);
    group.dataset.entry = box.entry;
    svgElement("rect", { width: box.width, height: box.height, rx: 5 }, group);
    const [first, second] = box.inner ? [box.texts[0].replace("\u25b8", "\u25be")] : box.texts;
    svgElement("text", { x: PAD, y: LINE + 1, class: "op" }, group).textContent = first;
    if (second) svgElement("text", { x: PAD, y: 2 * LINE + 1 }, group).textContent = second;
    const at = Number(box.entry.slice(1));
    if (box.entry[0] === "n") {
      svgElement("title", {}, group).textContent = `${flow.graph.op[at]} ${flow.graph.label[at]} ${flow.graph.shape[at]}`;
      if (!kept(flow.side, at)) group.classList.add(flow.side ? "new" : "gone");
    }
    const colour = box.inner ? null : colourOf(flow, box.entry);
    if (colour) group.style.setProperty("--fill", `color-mix(in srgb, var(${colour.hue}) ${Math.round(8 + 42 * colour.share)}%, var(--page))`);
    flow.boxes.set(box.entry, { group, x, y, width: box.width, height: box.height });
    if (box.inner) placeBoxes(flow, parent, box.inner, x + (box.width - box.inner.width) / 2, y + HEAD);
  }
};
const zoomed = (flow, zoom) => {
  flow.zoom = Math.min(3, Math.max(0.02, zoom));
  const svg = flow.canvas.firstElementChild;
  svg.setAttribute("width", Math.round(flow.size.width * flow.zoom));
  svg.setAttribute("height", Math.round(flow.size.height * flow.zoom));
};
const fit = (flow) => {
  // As wide as the drawing needs, as long as texts can be read.
  zoomed(flow, Math.min(1, Math.max(0.4, flow.canvas.clientWidth / flow.size.width)));
};

/* --- what is chosen, found and lit ------------------------------------------------------------------------------- */

/* The box that shows a node: its own, or that of the closed block around it. */
const boxOf = (flow, at) => {
  if (flow.boxes.has(`n${at}`)) return `n${at}`;
  let block = flow.graph.block[at];
  while (block > 0 && !flow.boxes.has(`b${block}`)) block = flow.blocks[block].parent;
  return `b${block}`;
};
const opening = (flow, nodes) => {
  const before = flow.open.size;
  for (const at of nodes) for (let block = flow.graph.block[at]; block > 0; block = flow.blocks[block].parent) flow.open.add(block);
  if (flow.open.size > before || !flow.drawn) drawFlow(flow);
};
const mark = (flow) => {
  const { boxes, side } = flow;
  const lit = chosen.lit?.[side];
  const litBoxes = lit && new Set([...lit].map((at) => boxOf(flow, at)));
  const own = chosen.at < 0 ? [] : side === chosen.side ? [chosen.at] : related(chosen.side, chosen.at);
  const chosenBoxes = new Set(own.map((at) => boxOf(flow, at)));
  for (const [entry, { group }] of boxes) {
    group.classList.toggle("lit", Boolean(litBoxes?.has(entry)));
    group.classList.toggle("dim", Boolean(litBoxes && !litBoxes.has(entry) && !group.classList.contains("open")));
    group.classList.toggle("chosen", chosenBoxes.has(entry));
  }
};
const show = (flow, at) => {
  const box = flow.boxes.get(boxOf(flow, at));
  if (!box) return;
  const { canvas, zoom } = flow;
  canvas.scrollTo((box.x + box.width / 2) * zoom - canvas.clientWidth / 2, (box.y + box.height / 2) * zoom - canvas.clientHeight / 2);
};
/* Choose a node: its facts, and its place in both drawings. */
const choose = (side, at, { scroll = true } = {}) => {
  Object.assign(chosen, { side, at });
  opening(flows[side], [at]);
  for (const other of flows) if (other.side !== side && other.drawn) opening(other, related(side, at).slice(0, 1));
  flows.forEach(mark);
  if (scroll) show(flows[side], at);
  for (const other of flows) if (other.side !== side) { const there = related(side, at)[0]; if (there !== undefined) show(other, there); }
  facts(side, at);
};
/* Light up sets of nodes, one for each graph; null switches the lights off. */
const light = (sets, message) => {
  chosen.lit = sets;
  document.getElementById("lit").textContent = message;
  for (const flow of flows) {
    const nodes = sets ? [...sets[flow.side]] : [];
    opening(flow, nodes.length <= MOST_LIT ? nodes : []);
    mark(flow);
    if (nodes.length) show(flow, nodes[0]);
  }
};
/* The nodes that a recipe line made, and those of the model as read that they came from or that went with it. */
const lightLine = (line) => {
  const made = data.graphs[1].line.flatMap((_, at) => (linesOf(data.graphs[1], at).includes(line) ? [at] : []));
  const from = new Set(made.flatMap((at) => related(1, at)));
  light([from, new Set(made)], `${line} made or changed ${made.length} nodes of the compiled model, which stand for ${from.size} nodes of the model as read.`);
};

/* --- tools ------------------------------------------------------------------------------------------------------- */

const tools = document.getElementById("tools");
const colourBy = document.getElementById("colour"), legendText = document.getElementById("legend"), finder = document.getElementById("find");
colourBy.append(new Option("none", ""), ...usable.map(([name, metric]) => new Option(metric.title, name)), new Option("precision", "precision"));
colourBy.addEventListener("change", () => {
  chosen.metric = colourBy.value;
  flows.forEach(drawFlow);
  legendText.replaceChildren();
  const metric = METRICS[chosen.metric];
  const mixed = (hue, share) => `color-mix(in srgb, var(${hue}) ${share}%, var(--page))`;
  const sample = (background, text) => {
    const swatch = element("span", "", "swatch");
    swatch.style.background = background;
    legendText.append(swatch, `${text}  `);
  };
  if (chosen.metric === "precision") precisions.forEach((name, at) => sample(mixed(hues[at % hues.length], 29), name));
  if (metric) {
    const [least, most] = limits(metric);
    sample(mixed("--c2", 8), metric.low ? metric.format(most) : "0");
    sample(mixed("--c2", 50), metric.format(metric.low ? least : most));
  }
});
const findings = { list: [], next: 0 };
finder.addEventListener("input", () => {
  const words = finder.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) { findings.list = []; light(null, ""); return; }
  const sets = flows.map(({ graph }) => new Set(graph.op.flatMap((op, at) => {
    const text = `${op} ${graph.name[at]} ${graph.key[at]} ${graph.shape[at]} ${graph.precision[at]} ${graph.line[at]}`.toLowerCase();
    return words.every((word) => text.includes(word)) ? [at] : [];
  })));
  Object.assign(findings, { list: sets.flatMap((set, side) => [...set].map((at) => [side, at])), next: 0 });
  chosen.lit = sets;
  flows.forEach(mark);
  document.getElementById("lit").textContent = `${findings.list.length} nodes`;
});
const nextFound = () => {
  if (!findings.list.length) return;
  choose(...findings.list[findings.next % findings.list.length]);
  findings.next += 1;
};
finder.addEventListener("keydown", (event) => { if (event.key === "Enter") nextFound(); });
const redraw = (change) => { for (const flow of flows) { change(flow); drawFlow(flow); } };
const doing = {
  next: nextFound,
  open: () => redraw((flow) => flow.blocks.forEach((_, at) => flow.open.add(at))),
  close: () => redraw((flow) => { flow.open = new Set([0]); }),
  in: () => flows.forEach((flow) => zoomed(flow, flow.zoom * 1.25)),
  out: () => flows.forEach((flow) => zoomed(flow, flow.zoom / 1.25)),
  fit: () => flows.forEach(fit),
};
tools.addEventListener("click", (event) => doing[event.target.dataset.do]?.());
tools.hidden = false;

/* --- mouse ------------------------------------------------------------------------------------------------------- */

for (const flow of flows) {
  const { canvas } = flow;
  let from = null;
  canvas.addEventListener("click", (event) => {
    const entry = event.target.closest("g[data-entry]")?.dataset.entry;
    if (!entry || from?.moved) return;
    const number = Number(entry.slice(1));
    if (entry[0] === "n") { choose(flow.side, number, { scroll: false }); return; }
    if (!flow.open.delete(number)) flow.open.add(number);
    drawFlow(flow);
  });
  canvas.addEventListener("pointerdown", (event) => {
    from = event.pointerType === "mouse" ? { x: event.clientX, y: event.clientY, left: canvas.scrollLeft, top: canvas.scrollTop, moved: false } : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from || !event.buttons) return;
    const [x, y] = [event.clientX - from.x, event.clientY - from.y];
    from.moved ||= Math.hypot(x, y) > 4;
    if (from.moved) canvas.scrollTo(from.left - x, from.top - y);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomed(flow, flow.zoom * (event.deltaY < 0 ? 1.1 : 1 / 1.1));
  }, { passive: false });
}

/* --- the buttons of recipe lines ----------------------------------------------------------------------------------- */

if (data.graphs.length > 1) {
  const made = new Map();
  data.graphs[1].op.forEach((_, at) => linesOf(data.graphs[1], at).forEach((line) => made.set(line, (made.get(line) ?? 0) + 1)));
  for (const row of document.querySelectorAll("tr[data-line]")) {
    const nodes = made.get(row.dataset.line);
    if (!nodes) continue;
    const button = element("button", `show ${nodes} node${nodes > 1 ? "s" : ""}`, "lights");
    button.type = "button";
    button.addEventListener("click", () => {
      lightLine(row.dataset.line);
      document.getElementById("graph").scrollIntoView();
    });
    row.lastElementChild.append(button);
  }
}

/* Rows of tables about nodes choose their node. */
for (const row of document.querySelectorAll("tr[data-node]")) {
  const [side, at] = row.dataset.node.split(" ").map(Number), cell = row.cells[0];
  const button = element("button", cell.textContent, "link");
  button.type = "button";
  button.addEventListener("click", () => {
    choose(side, at);
    document.getElementById("graph").scrollIntoView();
  });
  cell.replaceChildren(button);
}

/* --- the first view ---------------------------------------------------------------------------------------------- */

/* Blocks are opened from the outside while few boxes are shown. */
for (const flow of flows) {
  let boxes = flow.blocks[0].entries.length;
  flow.blocks.forEach((block, at) => {
    const more = block.entries.length - 1;
    if (at && flow.open.has(block.parent) && boxes + more <= MOST_OPEN) { flow.open.add(at); boxes += more; }
  });
}
const firstView = (flow) => { if (!flow.drawn) { drawFlow(flow); fit(flow); } };
const inView = new IntersectionObserver((entries) => {
  for (const each of entries) if (each.isIntersecting) { inView.unobserve(each.target); firstView(flows.find((flow) => flow.canvas === each.target)); }
}, { rootMargin: "300px" });
flows.forEach((flow) => inView.observe(flow.canvas));
window.addEventListener("beforeprint", () => flows.forEach(firstView));
