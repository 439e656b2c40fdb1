"use strict";
/* The plots of report.html. Uses common.js. */

const seriesOf = { MACs: "macs", weights: "bytes", parameters: "params", nodes: "nodes" };
const colours = { domain: Object.keys(seriesOf), range: ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)"] };
const sides = { domain: ["as read", "compiled"], range: ["var(--before)", "var(--after)"] };

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
drawPlots(plots, { legends: { steps: colours }, heights: { sensitivity: 100 + 16 * data.sensitivity.length } });
