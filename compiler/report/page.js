"use strict";
/* Sorts tables, draws plots when they come into view, and draws the graphs row by row. Works without a network; every
   number it shows also stands in a table or in a row of text. */
const data = JSON.parse(document.getElementById("data").textContent);

const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};
const scaled = (number, units) => {
  let at = 0;
  while (number >= 1000 && at < units.length - 1) { number /= 1000; at += 1; }
  return `${at ? Number(number.toPrecision(3)) : number}${units[at]}`;
};
const count = (number) => scaled(number, ["", " k", " M", " G", " T"]);
const size = (number) => scaled(number, [" B", " kB", " MB", " GB", " TB"]);

/* --- light and dark ------------------------------------------------------------------------------------------ */

const themes = ["system", "light", "dark"];
const button = document.getElementById("theme");
button.hidden = false;
button.addEventListener("click", () => {
  const now = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length];
  if (now === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = now;
  button.textContent = `Theme: ${now}`;
});

/* --- sorting tables ------------------------------------------------------------------------------------------ */

const value = (cell) => cell.dataset.value ?? cell.textContent.trim();
const compare = (first, second) => {
  const [a, b] = [Number(first), Number(second)];
  const numbers = first !== "" && second !== "" && !Number.isNaN(a) && !Number.isNaN(b);
  return numbers ? a - b : first.localeCompare(second, "en", { numeric: true });
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const sort = element("button", head.textContent);
    sort.type = "button";
    head.replaceChildren(sort);
    sort.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => compare(value(a.cells[column]), value(b.cells[column])) * (up ? 1 : -1));
      body.append(...rows);
    });
  });
}

/* --- plots --------------------------------------------------------------------------------------------------- */

const seriesOf = { MACs: "macs", weights: "bytes", parameters: "params", nodes: "nodes" };
const colours = { domain: Object.keys(seriesOf), range: ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)"] };
const sides = { domain: ["as read", "compiled"], range: ["var(--before)", "var(--after)"] };
const common = { style: { fontSize: "12px" }, marginLeft: 56 };

const steps = (width) => {
  const points = [];
  data.costs.forEach((cost, at) => {
    for (const [label, key] of Object.entries(seriesOf)) {
      const first = data.costs[0][key];
      if (first && cost[key] !== null && !cost.undone) points.push({ at, label, share: cost[key] / first, step: cost.step });
    }
  });
  const name = (at) => data.costs[at]?.step ?? "";
  return Plot.plot({
    ...common, height: 280, width, marginBottom: 70,
    ariaLabel: "Line plot of cost after each step",
    color: { ...colours, legend: false },
    x: { label: null, ticks: data.costs.length > 16 ? 8 : data.costs.map((_, at) => at), tickFormat: (at) => name(at), tickRotate: -25 },
    y: { label: "share of the model as read", percent: true, zero: true, grid: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(points, { x: "at", y: "share", stroke: "label", strokeWidth: 2 }),
      Plot.dot(points, { x: "at", y: "share", fill: "label", tip: true, title: (d) => `${d.label} after ${d.step}: ${(100 * d.share).toFixed(1)}%` }),
    ],
  });
};

const gates = (width) => {
  const points = data.gates.map((gate) => ({ ...gate, macs: data.costs[gate.after]?.macs ?? null })).filter((each) => each.macs !== null);
  return Plot.plot({
    ...common, height: 280, width,
    ariaLabel: "Dot plot of measured ratios against MACs",
    x: { label: "MACs of one sample", zero: true, tickFormat: count, nice: true },
    y: { label: "measured", percent: true, nice: true, grid: true },
    marks: [
      Plot.ruleX(points, { x: "macs", y1: "limit", y2: "value", stroke: "var(--soft)" }),
      Plot.dot(points, { x: "macs", y: "limit", symbol: "triangle", stroke: "var(--c2)", title: (d) => `limit of ${d.text}` }),
      Plot.dot(points, { x: "macs", y: "value", fill: "var(--c1)", r: 5, tip: true, title: (d) => `${d.text}: ${(100 * d.value).toFixed(2)}%, ${d.outcome}` }),
      Plot.text(points, { x: "macs", y: "value", text: "text", dy: -12, fill: "currentColor", textAnchor: "end" }),
    ],
  });
};

const both = (pick) => data.graphs.flatMap((graph, side) =>
  graph.op.map((op, at) => ({ side: sides.domain[side], at, value: pick(graph, at), label: `${op} ${graph.name[at] || graph.key[at]}` })));

const precision = (width) => {
  const bars = new Map();
  data.graphs.forEach((graph, side) => graph.macs.forEach((macs, at) => {
    if (!macs) return;
    const key = `${side} ${graph.precision[at]}`;
    const bar = bars.get(key) ?? { side: sides.domain[side], precision: graph.precision[at], macs: 0, nodes: 0 };
    bar.macs += macs;
    bar.nodes += 1;
    bars.set(key, bar);
  }));
  const found = [...bars.values()];
  return Plot.plot({
    ...common, height: 280, width, marginLeft: 80, marginRight: 130,
    ariaLabel: "Bars of MACs by type, as read and compiled",
    color: sides,
    x: { label: "MACs", tickFormat: count, grid: true, ticks: 5 },
    y: { label: null, domain: sides.domain },
    fy: { label: null, axis: "right" },
    marks: [
      Plot.ruleX([0]),
      Plot.barX(found, { x: "macs", y: "side", fy: "precision", fill: "side" }),
      Plot.text(found, { x: "macs", y: "side", fy: "precision", text: (d) => `${count(d.macs)}, ${d.nodes} nodes`, dx: 6, textAnchor: "start", fill: "currentColor" }),
    ],
  });
};

const byNode = (what, label, format) => (width) => {
  const points = both((graph, at) => graph[what][at] ?? 0).filter((each) => each.value > 0);
  const most = Math.max(...data.graphs.map((graph) => graph.op.length), 1);
  return Plot.plot({
    ...common, height: 280, width, marginRight: 70, marginLeft: 64, marginBottom: 40,
    ariaLabel: `Bars of ${label} by node, as read above, compiled below`,
    color: sides,
    x: { label: "node, in the order in which they run", domain: [-0.5, most - 0.5], ticks: Math.min(most, 12), tickFormat: "d" },
    y: { label, tickFormat: format, grid: true, ticks: 4, zero: true },
    fy: { label: null, domain: sides.domain },
    marks: [
      Plot.ruleY([0]),
      Plot.ruleX(points, { x: "at", y: "value", fy: "side", stroke: "side", strokeWidth: Math.max(1, Math.min(16, 800 / most)), tip: points.length < 2000 ? "x" : false, title: (d) => `${d.label}: ${format(d.value)}` }),
    ],
  });
};

const sensitivity = (width) => Plot.plot({
  ...common, width, height: 60 + 16 * data.sensitivity.length, marginLeft: Math.min(300, width / 3),
  ariaLabel: "Bars of the error that quantizing each node alone causes",
  x: { label: "error, as a share of the outputs' variance", grid: true, ticks: 5, tickFormat: ".1e" },
  y: { label: null, tickFormat: (name) => (name.length > 40 ? `\u2026${name.slice(-39)}` : name) },
  marks: [
    Plot.ruleX([0]),
    Plot.barX(data.sensitivity, { x: "error", y: "node", fill: "var(--c2)", sort: { y: "x", reverse: true } }),
  ],
});

const plots = { steps, gates, precision, sensitivity, macs: byNode("macs", "MACs", count), bytes: byNode("bytes", "bytes", size) };
const draw = (figure) => {
  if (figure.dataset.drawn) return;
  figure.dataset.drawn = "yes";
  const made = plots[figure.dataset.plot](Math.max(300, figure.clientWidth));
  const svg = made.matches("svg") ? made : made.querySelector("svg");
  svg.setAttribute("role", "img");
  // Screen readers do not read the parts of an image, so the parts need no names.
  for (const each of svg.querySelectorAll("[aria-label]")) each.removeAttribute("aria-label");
  figure.append(made);
  if (figure.dataset.plot === "steps") figure.append(legend(colours));
};
const legend = ({ domain, range }) => {
  const made = element("p", undefined, "legend");
  domain.forEach((name, at) => {
    const mark = element("span", "\u25cf ");
    mark.style.color = range[at];
    made.append(mark, `${name}  `);
  });
  return made;
};
const seen = new IntersectionObserver((entries) => {
  for (const each of entries) if (each.isIntersecting) { seen.unobserve(each.target); draw(each.target); }
}, { rootMargin: "300px" });
const figures = [...document.querySelectorAll("figure[data-plot]")];
for (const figure of figures) {
  // This plot alone has a height of its own; style.css gives that of the others.
  if (figure.dataset.plot === "sensitivity") figure.style.minHeight = `${100 + 16 * data.sensitivity.length}px`;
  seen.observe(figure);
}
window.addEventListener("beforeprint", () => {
  figures.forEach(draw);
  for (const each of document.querySelectorAll("details:not(.graph)")) each.open = true;
});
