"use strict";
/* The facts of the chosen node: what it computes, from what, how long and how exactly, and where it comes from. */

const factBox = document.getElementById("node");

const goTo = (side, at) => {
  const graph = data.graphs[side], button = element("button", `${graph.op[at]} ${graph.label[at]}`, "link");
  button.type = "button";
  button.addEventListener("click", () => choose(side, at));
  return button;
};
const listed = (side, nodes, most = 12) => {
  const parts = nodes.slice(0, most).map((at) => goTo(side, at));
  if (nodes.length > most) parts.push(`and ${nodes.length - most} more`);
  return parts;
};
const weightText = (at) => {
  const [name, kind, numbers, summary, read, whole] = data.weights[at];
  if (numbers) return `${name}: ${kind} = ${numbers}`;
  if (!summary.length) return `${name}: ${kind}`;
  const [low, high, mean, spread, zeros] = summary;
  const part = read < whole ? `, of ${count(read)} of ${count(whole)} numbers` : "";
  return `${name}: ${kind}, from ${low} to ${high}, mean ${mean}, standard deviation ${spread}, ${(100 * zeros).toFixed(1)} % zeros${part}`;
};

const facts = (side, at) => {
  const graph = data.graphs[side], list = element("dl", undefined, "facts");
  const add = (name, ...values) => {
    const given = values.filter((each) => each !== "" && each !== undefined);
    if (!given.length) return;
    const value = element("dd");
    for (const each of given) value.append(typeof each === "string" ? element("span", each) : each, " ");
    list.append(element("dt", name), value);
  };
  const modules = [];
  for (let block = graph.block[at]; block > 0; block = graph.blocks.parent[block]) modules.unshift(graph.blocks.name[block]);
  add("model", graph.title);
  add("name", graph.name[at]);
  add("computes", `${graph.key[at]} ${graph.shape[at]}`);
  add("computes in", graph.precision[at]);
  add("block", modules.join(" / "));
  add("attributes", graph.attributes[at]);
  add("inputs", graph.reads[at].join(", "));
  for (const each of graph.weights[at]) add("weight", weightText(each));
  if (graph.macs[at]) add("MACs", count(graph.macs[at]));
  if (graph.bytes[at]) add("weights", size(graph.bytes[at]));
  for (const [name, metric] of usable.filter(([, each]) => !each.sum || each === METRICS.time)) {
    const number = metric.columns(graph)?.[at];
    if (number !== null && number !== undefined) add(METRICS[name].title, metric.format(number));
  }
  for (const [title, text] of data.remarks?.[side]?.[at] ?? []) add(title, text);
  if (graph.line[at]) add("made by", `line ${graph.line[at]}`, graph.maker[at] && `(${graph.maker[at]})`);
  if (graph.earlier[at].length) add("changed before by", graph.earlier[at].map((each) => `line ${each}`).join(", "));
  if (side && graph.origins[at].length) add("made from", graph.origins[at].join(", "));
  add("read by", ...listed(side, graph.readers[at]));
  add("reads", ...listed(side, graph.inputs[at]));
  if (data.graphs.length > 1) {
    const there = related(side, at);
    const none = side ? "not in the model as read: new" : "gone, and no node of the compiled model stands for it";
    add(side ? "in the model as read" : "in the compiled model", ...(there.length ? listed(1 - side, there) : [none]));
  }
  factBox.replaceChildren(element("p", `${graph.op[at]} ${graph.label[at]}`, "title"), list);
};
