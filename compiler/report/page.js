"use strict";
/* Sorts tables, draws plots when they come into view, and draws the graphs row by row. Works without a network; every
   number it shows also stands in a table or in a row of text. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  const element = (tag, text, name) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  };
  const scaled = (number, base, units) => {
    let at = 0;
    while (number >= base && at < units.length - 1) { number /= base; at += 1; }
    return `${at ? Number(number.toPrecision(3)) : number}${units[at]}`;
  };
  const count = (number) => scaled(number, 1000, ["", " k", " M", " G", " T"]);
  const size = (number) => scaled(number, 1000, [" B", " kB", " MB", " GB", " TB"]);

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
      ...common, height: 280, width, marginLeft: 80, marginRight: 90,
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

  const plots = { steps, gates, precision, macs: byNode("macs", "MACs", count), bytes: byNode("bytes", "bytes", size) };
  const draw = (figure) => {
    if (figure.dataset.drawn) return;
    figure.dataset.drawn = "yes";
    const made = plots[figure.dataset.plot](Math.max(300, figure.clientWidth));
    const svg = made.matches("svg") ? made : made.querySelector("svg");
    svg.setAttribute("role", "img");
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
  figures.forEach((figure) => seen.observe(figure));
  window.addEventListener("beforeprint", () => {
    figures.forEach(draw);
    for (const each of document.querySelectorAll("details:not(.graph)")) each.open = true;
  });

  /* --- graphs --------------------------------------------------------------------------------------------------- */

  const ROW = 28, LANE = 14, LANES = 10, CHUNK = 100;
  const SVG = "http://www.w3.org/2000/svg";
  const middle = (lane) => 10 + Math.min(lane, LANES) * LANE;

  /* Which lane each node stands in, and what passes through its row: a value keeps its lane until its last reader. */
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

  const keys = data.graphs.map((graph) => new Map(graph.key.map((key, at) => [key, at])));
  const views = [];

  const view = (details) => {
    const side = Number(details.dataset.graph), graph = data.graphs[side], other = keys[1 - side];
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
      if (!other.has(graph.key[at])) item.append(element("span", side ? "new" : "gone", "badge"));
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
      if (!details.open) details.open = true;
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
    box.addEventListener("keydown", (event) => {
      const item = document.activeElement.closest("li");
      const position = item ? shown.indexOf(Number(item.dataset.at)) : -1;
      const moves = { ArrowDown: position + 1, ArrowUp: position - 1, PageDown: position + 15, PageUp: position - 15, Home: 0, End: shown.length - 1 };
      if (event.key in moves) { event.preventDefault(); focus(moves[event.key]); }
      if (event.key === "Enter" && item) {
        const twin = other.get(graph.key[Number(item.dataset.at)]);
        if (twin !== undefined) opened(1 - side).jump(twin);
        else status.textContent = "no value of this name in the other model";
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
})();
