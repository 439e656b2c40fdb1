"use strict";
/* Where the nodes and the open blocks of a graph are drawn. Each block is laid out by itself with dagre and becomes one
   box of the block around it, so that the time grows with the number of nodes that are shown, and not faster. Values
   from and to outside pass through one point at the top and one at the bottom of a block. */

const LINE = 15, PAD = 10, HEAD = 24, LETTER = 7.25, MOST_LETTERS = 30;

/* Long names keep their end, where they differ. The whole name is in the facts of the node. */
const tail = (name) => (name.length > MOST_LETTERS ? `\u2026${name.slice(1 - MOST_LETTERS)}` : name);
const widthOf = (...texts) => Math.ceil(2 * PAD + LETTER * Math.max(...texts.map((each) => each.length)));

/* The blocks of a graph: for each its entries in order (`n12` is a node, `b3` a block), and the lines between them. */
const blocksOf = (graph) => {
  const { name, parent } = graph.blocks;
  const made = name.map((each, at) => ({ name: each, parent: parent[at], entries: [], lines: new Map(), nodes: 0, depth: 0 }));
  made.forEach((block) => { block.depth = block.parent < 0 ? 0 : made[block.parent].depth + 1; });
  const listed = new Set();
  const chain = (at) => {
    const steps = [[graph.block[at], `n${at}`]];
    for (let block = graph.block[at]; parent[block] >= 0; block = parent[block]) steps.push([parent[block], `b${block}`]);
    return steps;
  };
  graph.op.forEach((_, at) => {
    for (const [block, entry] of chain(at)) {
      made[block].nodes += 1;
      if (!listed.has(entry)) { listed.add(entry); made[block].entries.push(entry); }
    }
  });
  const join = (block, from, to) => { if (from !== to) made[block].lines.set(`${from} ${to}`, [from, to]); };
  graph.inputs.forEach((inputs, to) => inputs.forEach((from) => {
    const up = chain(from), down = chain(to);
    let [i, j] = [0, 0];
    while (up[i][0] !== down[j][0]) {
      if (made[up[i][0]].depth >= made[down[j][0]].depth) { join(up[i][0], up[i][1], "out"); i += 1; }
      else { join(down[j][0], "in", down[j][1]); j += 1; }
    }
    join(up[i][0], up[i][1], down[j][1]);
  }));
  return made;
};

/* What a box says: two lines, and the number that the colours show. */
const boxText = (graph, blocks, entry, number) => {
  const at = Number(entry.slice(1));
  if (entry[0] === "n") return [`${graph.op[at]}${number ? `  ${number}` : ""}`, tail(graph.label[at])];
  return [`\u25b8 ${tail(blocks[at].name)}${number ? `  ${number}` : ""}`, `${blocks[at].nodes} nodes`];
};

/* A text that is the same as long as the same blocks are open inside of a block. */
const openInside = (blocks, block, open) => blocks[block].entries
  .filter((entry) => entry[0] === "b" && open.has(Number(entry.slice(1))))
  .map((entry) => `${entry}(${openInside(blocks, Number(entry.slice(1)), open)})`).join("");

/* The layout of a block. `known` keeps the layouts of blocks in which nothing was opened or closed. */
const layoutOf = (graph, blocks, block, open, numberOf, known) => {
  const key = `${block} ${openInside(blocks, block, open)}`;
  if (!known.has(key)) known.set(key, freshLayout(graph, blocks, block, open, numberOf, known));
  return known.get(key);
};

/* Boxes and lines of a block: {width, height, boxes: [{entry, x, y, width, height, inner}], lines: [[x, y], ...]}. */
const freshLayout = (graph, blocks, block, open, numberOf, known) => {
  const made = new dagre.graphlib.Graph();
  made.setGraph({ rankdir: "TB", nodesep: 16, ranksep: 24, marginx: 8, marginy: 8 });
  made.setDefaultEdgeLabel(() => ({}));
  const inner = new Map();
  for (const entry of blocks[block].entries) {
    const texts = boxText(graph, blocks, entry, numberOf(entry));
    let size = { width: widthOf(...texts), height: 2 * LINE + PAD };
    if (entry[0] === "b" && open.has(Number(entry.slice(1)))) {
      const part = layoutOf(graph, blocks, Number(entry.slice(1)), open, numberOf, known);
      inner.set(entry, part);
      size = { width: Math.max(part.width, widthOf(texts[0])), height: part.height + HEAD };
    }
    made.setNode(entry, { ...size, texts });
  }
  const lines = [...blocks[block].lines.values()];
  for (const end of ["in", "out"]) if (lines.some((each) => each.includes(end))) made.setNode(end, { width: 1, height: 1 });
  for (const [from, to] of lines) made.setEdge(from, to);
  dagre.layout(made);
  const { width, height } = made.graph();
  const boxes = blocks[block].entries.map((entry) => {
    const { x, y, texts, ...size } = made.node(entry);
    return { entry, texts, x: x - size.width / 2, y: y - size.height / 2, ...size, inner: inner.get(entry) };
  });
  const port = (name) => (made.hasNode(name) ? made.node(name).x : width / 2);
  const [top, bottom] = [port("in"), port("out")];
  const drawn = lines.map(([from, to]) => {
    const points = made.edge(from, to).points.map(({ x, y }) => [x, y]);
    // A line to an open block ends where it goes on inside.
    if (inner.has(to)) points[points.length - 1] = entrance(made.node(to), inner.get(to).top, inner.get(to), -1);
    if (inner.has(from)) points[0] = entrance(made.node(from), inner.get(from).bottom, inner.get(from), 1);
    if (from === "in") points[0] = [top, 0];
    if (to === "out") points[points.length - 1] = [bottom, height];
    return { from, to, points };
  });
  return { width, height, boxes, lines: drawn, top, bottom };
};
const entrance = (box, port, part, end) => [box.x - part.width / 2 + port, box.y + (end * box.height) / 2];
