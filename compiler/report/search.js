"use strict";
/* The plots of search.html: the front, parallel coordinates, and what parameters explain. Uses common.js. */

const units = {
  ratio: (number) => `${Number((100 * number).toPrecision(4))}%`,
  bytes: size,
  seconds: (number) => scaled(number * 1e9, [" ns", " us", " ms", " s"]),
};
const plain = (number) => (Math.abs(number) < 1000 ? String(Number(number.toPrecision(6))) : count(number));
const shown = (goal, number) => (units[goal.kind] ?? plain)(number);
const measured = data.trials.filter((trial) => trial.numbers !== null);
const kinds = { domain: ["trial", "front", "best"], range: ["var(--before)", "var(--c1)", "var(--c2)"] };
const kindOf = (trial) => (trial.number === data.best ? "best" : data.front.includes(trial.number) ? "front" : "trial");
const describe = (trial) => [
  `trial ${trial.number}`,
  ...data.space.map((parameter) => `${parameter.name} = ${trial.values[parameter.name]}`),
  ...data.goals.map((goal, at) => `${goal.text}: ${shown(goal, trial.numbers[at])}`),
].join("\n");

/* A click opens the report of the trial whose values are shown, which the plot has as its value. */
const opening = (made) => {
  made.style.cursor = "pointer";
  made.addEventListener("click", () => { if (made.value?.page) location.assign(made.value.page); });
  return made;
};

/* --- the front: the first objective against another one, or against the number of the trial ------------------- */

const front = (width, figure) => {
  const other = Number(figure.dataset.goal);
  const [goal, across] = [data.goals[0], data.goals[other]];
  const points = measured.map((trial) => ({
    ...trial, x: across ? trial.numbers[0] : trial.number, y: trial.numbers[other], kind: kindOf(trial),
  }));
  const line = data.front.map((number) => points.find((each) => each.number === number)).filter(Boolean);
  const original = across && goal.original !== null && across.original !== null
    ? [{ x: goal.original, y: across.original }] : [];
  const made = Plot.plot({
    ...common, height: 340, width, ariaLabel: `Dot plot of trials by ${goal.text}${across ? ` and ${across.text}` : ""}`, marginLeft: 80, marginRight: 24, marginBottom: 42,
    color: kinds,
    x: across ? { label: goal.text, tickFormat: (value) => shown(goal, value), ticks: 6, nice: true, grid: true } : { label: "trial", tickFormat: "d" },
    y: { label: (across ?? goal).text, tickFormat: (value) => shown(across ?? goal, value), ticks: 6, nice: true, grid: true },
    marks: [
      Plot.line(across && data.goals.length === 2 ? line : [], { x: "x", y: "y", stroke: "var(--c1)", strokeOpacity: 0.5 }),
      Plot.dot(original, { x: "x", y: "y", symbol: "square", stroke: "currentColor", title: () => "model as read" }),
      Plot.text(original, { x: "x", y: "y", text: () => "as read", dy: 14, fill: "currentColor" }),
      Plot.dot(points, {
        x: "x", y: "y", fill: "kind", r: (point) => ({ trial: 4, front: 6, best: 8 })[point.kind], fillOpacity: 0.85,
        title: describe, tip: true,
        sort: (point) => ({ trial: 0, front: 1, best: 2 })[point.kind],
      }),
    ],
  });
  return opening(made);
};

/* --- parallel coordinates: one line for each trial, over all parameters and objectives ------------------------ */

const axes = [
  ...data.space.map((parameter) => ({
    name: parameter.name,
    at: (trial) => (parameter.values.length < 2 ? 0.5 : parameter.values.indexOf(trial.values[parameter.name]) / (parameter.values.length - 1)),
    ticks: parameter.values.length <= 8 ? parameter.values.map((value, at) => [at / Math.max(1, parameter.values.length - 1), value])
      : [[0, parameter.values[0]], [1, parameter.values.at(-1)]],
  })),
  ...data.goals.map((goal, index) => {
    const found = measured.map((trial) => trial.numbers[index]);
    const [low, high] = [Math.min(...found), Math.max(...found)];
    return {
      name: goal.text,
      at: (trial) => (high > low ? (trial.numbers[index] - low) / (high - low) : 0.5),
      ticks: high > low ? [[0, shown(goal, low)], [1, shown(goal, high)]] : [[0.5, shown(goal, low)]],
    };
  }),
];
const parallel = (width) => {
  const drawn = [...measured].sort((a, b) => kinds.domain.indexOf(kindOf(a)) - kinds.domain.indexOf(kindOf(b)));
  const points = drawn.flatMap((trial) => axes.map((axis, index) => ({ ...trial, index, position: axis.at(trial), kind: kindOf(trial) })));
  const ticks = axes.flatMap((axis, index) => axis.ticks.map(([position, label]) => ({ index, position, label })));
  return opening(Plot.plot({
    ...common, height: 340, width, ariaLabel: "Lines of trials over parameters and objectives", marginLeft: 40, marginRight: 110, marginBottom: 46,
    color: kinds,
    x: { label: null, domain: [0, Math.max(1, axes.length - 1)], ticks: axes.map((_, at) => at), tickFormat: (at) => axes[at]?.name ?? "" },
    y: { axis: null, domain: [0, 1] },
    marks: [
      Plot.ruleX(axes.map((_, at) => at), { stroke: "var(--soft)" }),
      Plot.line(points, { x: "index", y: "position", z: "number", stroke: "kind", strokeWidth: 1.5, strokeOpacity: 0.75 }),
      Plot.dot(points, { x: "index", y: "position", fill: "kind", r: 3, title: describe, tip: true }),
      Plot.text(ticks, { x: "index", y: "position", text: "label", dx: 8, textAnchor: "start", fill: "currentColor", stroke: "var(--page)", strokeWidth: 3 }),
    ],
  }));
};

/* --- the share of an objective's differences that each parameter explains ------------------------------------- */

const importance = (width) => Plot.plot({
  ...common, width, ariaLabel: "Bars of the importance of parameters", height: 70 + 26 * data.importances.length, marginLeft: Math.min(220, width / 3), marginRight: Math.min(240, width / 3),
  color: { domain: data.goals.map((goal) => goal.text), range: ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)"] },
  x: { label: "share of the differences that the parameter explains", percent: true, grid: true, domain: [0, 100] },
  y: { label: null },
  fy: { label: null, axis: "right" },
  marks: [
    Plot.ruleX([0]),
    Plot.barX(data.importances, { x: "share", y: "parameter", fy: "goal", fill: "goal" }),
    Plot.text(data.importances, { x: "share", y: "parameter", fy: "goal", text: (bar) => `${Math.round(100 * bar.share)}%`, dx: 5, textAnchor: "start", fill: "currentColor" }),
  ],
});

drawPlots({ front, parallel, importance }, {
  legends: { front: kinds, parallel: kinds },
  heights: { front: 450, parallel: 450, importance: 100 + 26 * data.importances.length },
});
