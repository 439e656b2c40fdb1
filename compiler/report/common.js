"use strict";
/* What all pages share: colours, sorted tables, and plots that are drawn when they come into view. Works without a network;
   every number of a plot also stands in a table or in a row of text. */
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

const common = { style: { fontSize: "12px" }, marginLeft: 56 };

/* Draw each figure that has the name of a plot when it comes into view. A plot is a function of the width; a legend has
   names and colours. `heights` are those of plots that are not as high as style.css says. */
const drawPlots = (plots, { legends = {}, heights = {} } = {}) => {
  const draw = (figure) => {
    if (figure.dataset.drawn) return;
    figure.dataset.drawn = "yes";
    const name = figure.dataset.plot;
    const made = plots[name](Math.max(300, figure.clientWidth), figure);
    const svg = made.matches("svg") ? made : made.querySelector("svg");
    svg.setAttribute("role", "img");
    // Screen readers do not read the parts of an image, so the parts need no names.
    for (const each of svg.querySelectorAll("[aria-label]")) each.removeAttribute("aria-label");
    figure.append(made);
    if (name in legends) figure.append(legend(legends[name]));
  };
  const seen = new IntersectionObserver((entries) => {
    for (const each of entries) if (each.isIntersecting) { seen.unobserve(each.target); draw(each.target); }
  }, { rootMargin: "300px" });
  const figures = [...document.querySelectorAll("figure[data-plot]")];
  for (const figure of figures) {
    const height = heights[figure.dataset.plot];
    if (height) figure.style.minHeight = `${height}px`;
    seen.observe(figure);
  }
  window.addEventListener("beforeprint", () => {
    figures.forEach(draw);
    for (const each of document.querySelectorAll("details:not(.graph)")) each.open = true;
  });
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
