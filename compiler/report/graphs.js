"use strict";
/* The graphs of the page: texts and weights put in their places, which node of one model is which of the other, and
   the readers of each node. Uses `data` of common.js. */

for (const graph of data.graphs) {
  for (const name of ["op", "shape", "precision", "line", "maker", "attributes"]) {
    graph[name] = graph[name].map((at) => data.texts[at]);
  }
  graph.readers = graph.op.map(() => []);
  graph.inputs.forEach((inputs, at) => inputs.forEach((each) => graph.readers[each].push(at)));
  graph.label = graph.op.map((_, at) => graph.name[at] || graph.key[at]);
}

const SVG = "http://www.w3.org/2000/svg";
const places = (names) => new Map(names.map((name, at) => [name, at]).filter(([name]) => name));
const keys = data.graphs.map((graph) => places(graph.key));
const names = data.graphs.map((graph) => places(graph.name));

/* The position where the other model computes the same value, else of a node with the same name. */
const twin = (side, at) => {
  const graph = data.graphs[side];
  return keys[1 - side]?.get(graph.key[at]) ?? names[1 - side]?.get(graph.name[at]);
};
/* Whether the other model has this node: a node of the same operator with the same name or the same result. */
const kept = (side, at) => {
  const graph = data.graphs[side], other = data.graphs[1 - side];
  if (!other) return true;
  return [keys[1 - side].get(graph.key[at]), names[1 - side].get(graph.name[at])].some((each) => other.op[each] === graph.op[at]);
};
/* By name of a node as read: the compiled nodes that stand for it. */
const heirs = new Map();
data.graphs[1]?.origins.forEach((origins, at) => origins.forEach((name) => heirs.set(name, [...heirs.get(name) ?? [], at])));

/* The nodes of the other model that a node came from, or went into. */
const related = (side, at) => {
  const graph = data.graphs[side];
  const found = side
    ? graph.origins[at].map((name) => names[0].get(name)).filter((each) => each !== undefined)
    : heirs.get(graph.name[at]) ?? [];
  const same = twin(side, at);
  return [...new Set(same === undefined ? found : [same, ...found])];
};
/* The first of the texts of a line, `my.opt:4 > rules.opt:9`, is the line of the recipe itself. */
const recipeLine = (line) => line.split(" > ")[0];
/* The lines of the recipe that changed a node, the first one first. */
const linesOf = (graph, at) => [...new Set([...graph.earlier[at], graph.line[at]].filter(Boolean).map(recipeLine))];
