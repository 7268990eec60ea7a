"use strict";
// Anchors stop below the navigation, however many lines it has.
const navigation = document.querySelector("nav");
const noteNavigation = () => document.documentElement.style.setProperty("--nav", `${navigation.offsetHeight}px`);
noteNavigation();
new ResizeObserver(noteNavigation).observe(navigation);
// Tables sort by the heading clicked; a second click turns the order round.
for (const heading of document.querySelectorAll("th[data-sort]")) {
  const table = heading.closest("table"), body = table.tBodies[0];
  const sort = () => {
    const column = heading.cellIndex, numeric = heading.dataset.sort === "number";
    const first = heading.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = heading.getAttribute("aria-sort") === first ? other : first;
    for (const h of table.querySelectorAll("th[aria-sort]")) h.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const key = row => {
      const cell = row.cells[column], text = cell.dataset.v ?? cell.textContent.trim();
      return numeric ? (text === "" ? null : Number(text)) : text;
    };
    // Cells without a value come last both ways.
    body.append(...[...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (numeric ? x - y : x.localeCompare(y));
    }));
  };
  heading.tabIndex = 0;
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}
// One chart of a group at a time.
for (const choice of document.querySelectorAll("select[data-figures]")) {
  const figures = [...document.getElementById(choice.dataset.figures).children];
  const show = () => figures.forEach((figure, i) => { figure.hidden = i !== choice.selectedIndex; });
  choice.addEventListener("change", show);
  show(); // a browser may keep the choice of an earlier visit
}
for (const choice of document.querySelectorAll(".choice[data-figures]")) {
  const figures = [...document.getElementById(choice.dataset.figures).children];
  const buttons = [...choice.querySelectorAll("button")];
  buttons.forEach((button, i) => button.addEventListener("click", () => {
    figures.forEach((figure, k) => { figure.hidden = k !== i; });
    buttons.forEach((b, k) => b.setAttribute("aria-pressed", String(k === i)));
  }));
}
// An image that stands in the page several times has its data once.
const firsts = new Map([...document.querySelectorAll("img[data-picture]")].map(image => [image.dataset.picture, image.src]));
for (const image of document.querySelectorAll("img[data-same]")) image.src = firsts.get(image.dataset.same) ?? "";
// The map: from the truth to the answer along the great circle.
const holder = document.getElementById("views");
if (holder) {
  const views = JSON.parse(holder.textContent);
  const groupChoice = document.getElementById("map-group"), cellChoice = document.getElementById("map-cell");
  const layer = document.getElementById("map-lines"), told = document.getElementById("map-told");
  const NS = layer.namespaceURI, RAD = Math.PI / 180;
  const classes = [...document.querySelectorAll("[data-most]")].map(e => [Number(e.dataset.most), e.dataset.colour, e]);
  const xy = (north, east) => [(east + 180) / 360 * 1024, (90 - north) / 180 * 512];
  const vector = (north, east) => [Math.cos(north * RAD) * Math.cos(east * RAD), Math.cos(north * RAD) * Math.sin(east * RAD), Math.sin(north * RAD)];
  const path = (north1, east1, north2, east2) => {
    const a = vector(north1, east1), b = vector(north2, east2);
    const angle = Math.acos(Math.max(-1, Math.min(1, a[0] * b[0] + a[1] * b[1] + a[2] * b[2])));
    const steps = Math.max(1, Math.ceil(angle / RAD / 3));
    let text = "", before = null;
    for (let i = 0; i <= steps; i++) {
      let north = north1, east = east1;
      if (i === steps) { north = north2; east = east2; }
      else if (i > 0) {
        const f = Math.sin((1 - i / steps) * angle) / Math.sin(angle), g = Math.sin(i / steps * angle) / Math.sin(angle);
        const p = [0, 1, 2].map(k => f * a[k] + g * b[k]);
        north = Math.atan2(p[2], Math.hypot(p[0], p[1])) / RAD; east = Math.atan2(p[1], p[0]) / RAD;
      }
      const [x, y] = xy(north, east);
      // A line that leaves the map at one edge comes back at the other.
      text += (before === null || Math.abs(x - before) > 512 ? "M" : "L") + x.toFixed(1) + " " + y.toFixed(1);
      before = x;
    }
    return text;
  };
  const add = (name, attributes, title) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (title) { const t = document.createElementNS(NS, "title"); t.textContent = title; element.append(t); }
    layer.append(element);
  };
  const option = (select, text, value) => { const o = document.createElement("option"); o.textContent = text; o.value = value; select.append(o); };
  const draw = () => {
    const view = views[Number(cellChoice.value)];
    layer.replaceChildren();
    const counts = classes.map(() => 0);
    const lines = [...view.lines].sort((a, b) => b[4] - a[4]);
    for (const [north, east, north2, east2, error] of lines) {
      const k = classes.findIndex(c => error <= c[0]), colour = classes[k][1];
      counts[k] += 1;
      const title = `${error.toLocaleString("en")} ${view.unit}: truth ${north}, ${east}; answer ${north2}, ${east2}`;
      add("path", {d: path(north, east, north2, east2), fill: "none", stroke: colour, "stroke-width": 1.1, "stroke-opacity": .75}, title);
      const [x, y] = xy(north2, east2), [tx, ty] = xy(north, east);
      add("circle", {cx: x, cy: y, r: 2.4, fill: colour}, title);
      add("circle", {cx: tx, cy: ty, r: 2.1, fill: "#fff", stroke: "#0b1c33", "stroke-width": .6}, title);
    }
    classes.forEach((c, k) => { c[2].querySelector("b").textContent = counts[k].toLocaleString("en"); });
    const shown = view.lines.length < view.read ? `${view.lines.length} of ${view.read.toLocaleString("en")} read answers are drawn, spread evenly over the data's order` : `all ${view.read.toLocaleString("en")} read answers are drawn`;
    told.textContent = `${view.group} · ${view.name}: of ${view.n.toLocaleString("en")} images ${shown}; ${view.unread}.`;
  };
  const fill = () => {
    const wanted = cellChoice.selectedOptions[0]?.textContent;
    cellChoice.replaceChildren();
    views.forEach((view, i) => { if (view.group === groupChoice.value) option(cellChoice, view.name, i); });
    const same = [...cellChoice.options].find(o => o.textContent === wanted);
    const best = [...cellChoice.options].find(o => views[Number(o.value)].best);
    if (same ?? best) (same ?? best).selected = true;
    draw();
  };
  for (const group of new Set(views.map(view => view.group))) option(groupChoice, group, group);
  groupChoice.addEventListener("change", fill);
  cellChoice.addEventListener("change", draw);
  fill();
}
