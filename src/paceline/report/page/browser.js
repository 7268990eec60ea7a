"use strict";
// The case browser. Any section leads into it by a plain link, whose address holds all that is chosen:
//
//   <a href="#cases?cell=ID">                   the answers of a cell; ID is its id, or the 12 letters that end it
//     &split=test_far                           needed where the cell answered several splits
//     &outcome=refused                          of one outcome: parsed refused malformed out_of_range echoed
//     &rule=METRIC&hit=1                        hits (1) or misses (0) by a metric
//     &from=200&to=750                          by the value that orders answers, in its unit
//     &sample=SAMPLE                            one image with this cell's answer
//   #cases?task=T&split=S&model=M&prompt=P&method=L         by names instead of by cell, each optional
//   #cases?view=flips&before=ID&after=ID&rule=METRIC&kind=gained      what flipped between two cells
//
// In a script: caseLink({cell: ID, outcome: "refused"}). In a template: link(cell=…), to_cell(group, row, metric).
const caseLink = filters => {
  const kept = Object.entries(filters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return "#cases?" + new URLSearchParams(kept);
};

(() => {
  const app = document.getElementById("browser");
  if (!app) return;
  const absent = document.getElementById("browser-absent");
  if (typeof DecompressionStream === "undefined") {
    absent.textContent = "This browser can't unpack the answers (it lacks DecompressionStream); Chrome and Edge from 80, Safari from 16.4 and Firefox from 113 can.";
    return;
  }
  absent.remove();
  app.hidden = false;
  const PAGE = 50, MOST_PAIRS = 12, MOST_REPLIES = 60, KEY = 12;
  const FILTERS = ["task", "split", "model", "prompt", "method", "outcome", "rule", "hit", "from", "to", "q", "sort"];
  const LIST = [...FILTERS, "view", "before", "after", "kind"];  // what a list shows, of answers or of flips
  const NAMES = [...LIST, "page", "sample", "cell", "among"];
  const section = document.getElementById("cases"), form = document.getElementById("browser-filters");
  const told = document.getElementById("browser-told"), shown = document.getElementById("browser-shown");
  const fields = form.elements;
  let data = null, texts = [], lower = null, pictures = {}, state = {}, last = "", jump = false;

  // --- what the page holds ---------------------------------------------------------------------------------------

  const unpack = async id => {
    const packed = atob(document.getElementById(id).textContent), bytes = new Uint8Array(packed.length);
    for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };
  let loading = null;
  const load = () => loading ??= (async () => {
    [data, texts] = await Promise.all([unpack("case-index"), unpack("case-texts")]);
    pictures = JSON.parse(document.getElementById("case-pictures").textContent);
    for (const image of document.querySelectorAll("img[data-picture]")) pictures[image.dataset.picture] = image.src;
    for (const group of data.groups) for (const cell of group.cells) { cell.group = group; cell.key = cell.id.slice(-KEY); }
  })();

  const cellOf = (id, split) => {
    const found = data.groups.flatMap(g => g.cells).filter(c => id && (c.id === id || c.key === id));
    return found.find(c => c.group.split === split) ?? found[0];
  };
  const text = (cell, s) => cell.text[s] < 0 ? null : texts[cell.text[s]];
  // A question is shown with the images of its sample; the key of the second and of later ones ends with its number.
  const picture = (group, s, at = 0) => pictures[`${group.task}/${group.ids[s] ?? group.samples[s]}${at ? `#${at}` : ""}`];
  // 1 hit, 0 miss, -1 no value: as the report counts it, an unread answer is a miss within any limit.
  const hit = (cell, s, rule) => {
    if (rule.at_most !== undefined) return cell.value && cell.value[s] >= 0 && cell.value[s] <= cell.group.order.scale * rule.at_most ? 1 : 0;
    if (rule.metric in cell.hits) return cell.hits[rule.metric][s];
    return data.outcomes[cell.outcome[s]] === "parsed" ? 1 : 0;
  };
  const ruleOf = group => group.rules.find(r => r.metric === (state.rule || group.tested)) ?? group.rules[0];
  const unique = values => [...new Set(values)];

  // --- numbers and elements --------------------------------------------------------------------------------------

  const count = n => n.toLocaleString("en");
  const valued = (group, whole) => {
    const value = whole / group.order.scale, decimals = value >= 10 || value === 0 ? 0 : value >= 1 ? 1 : 2;
    return `${value.toLocaleString("en", {minimumFractionDigits: decimals, maximumFractionDigits: decimals})} ${group.order.unit}`;
  };
  const shownP = p => p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(p < 0.1 ? 3 : 2)}`;
  // Two-sided exact p of McNemar's test, as paceline.stats.mcnemar_exact.
  const logs = [0];
  const logFactorial = n => { while (logs.length <= n) logs.push(logs[logs.length - 1] + Math.log(logs.length)); return logs[n]; };
  const mcnemar = (gained, lost) => {
    const n = gained + lost;
    let tail = 0;
    for (let i = 0; i <= Math.min(gained, lost); i++) tail += Math.exp(logFactorial(n) - logFactorial(i) - logFactorial(n - i) - n * Math.LN2);
    return n ? Math.min(1, 2 * tail) : 1;
  };
  // Text goes in as text, so a model's answer can't become markup.
  const el = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(key, value);
    element.append(...children.filter(c => c !== null && c !== undefined));
    return element;
  };
  const heads = (...names) => el("thead", {}, el("tr", {}, ...names.map(n => el("th", {scope: "col", class: n.startsWith("#") ? "n" : null}, n.replace("#", "")))));
  const table = (head, rows) => el("div", {class: "scroll"}, el("table", {class: "answers"}, head, el("tbody", {}, ...rows)));

  const result = (cell, s) => {
    const outcome = cell.outcome[s];
    if (outcome < 0) return el("span", {class: "zero"}, "not asked");
    if (data.outcomes[outcome] !== "parsed") return el("span", {class: "miss"}, data.outcome_names[outcome]);
    const right = hit(cell, s, ruleOf(cell.group));
    const said = cell.group.order ? valued(cell.group, cell.value[s]) : cell.label && cell.label[s] >= 0 ? cell.group.labels[cell.label[s]] : "read";
    return el("span", {class: right === 1 ? "hit" : right === 0 ? "miss" : null}, said, cell.group.order ? null : right === 1 ? " ✓" : right === 0 ? " ✗" : null);
  };
  const excerpt = (cell, s, most = 160) => {
    const whole = text(cell, s);
    if (whole === null) return el("span", {class: "zero"}, cell.outcome[s] < 0 ? "" : "text not in the page");
    const at = state.q ? whole.toLowerCase().indexOf(state.q.toLowerCase()) : -1, start = at > most / 2 ? at - 40 : 0;
    return el("span", {class: "raw"}, whole === "" ? "(empty)" : (start ? "… " : "") + whole.slice(start, start + most) + (whole.length > start + most ? " …" : ""));
  };
  const opening = (cell, s) => caseLink({...pick(LIST), task: cell.group.task, split: cell.group.split, page: state.page, sample: cell.group.samples[s], cell: cell.key});
  const thumb = (group, s, href) => {
    const url = picture(group, s);
    return el("td", {class: "thumb"}, el("a", {href, tabindex: "-1", "aria-hidden": "true"}, el("span", {}, url ? el("img", {src: url, alt: "", loading: "lazy"}) : "no picture")));
  };
  const named = (group, s, href) => el("td", {class: "id"}, el("a", {href}, group.samples[s]), el("span", {class: "sub"}, group.truth[s]));
  const method = cell => el("td", {class: "name"}, cell.method, cell.trained_on && cell.trained_on !== cell.prompt ? el("span", {class: "sub"}, `trained on ${cell.trained_on}`) : null);
  const pages = (total, address) => {
    const page = Math.max(1, Number(state.page) || 1), most = Math.max(1, Math.ceil(total / PAGE));
    if (most === 1) return null;
    return el("nav", {class: "pages", "aria-label": "pages"},
      page > 1 ? el("a", {href: address(page - 1), rel: "prev"}, "← previous") : null,
      el("span", {}, `page ${count(page)} of ${count(most)}`),
      page < most ? el("a", {href: address(page + 1), rel: "next"}, "next →") : null);
  };
  const cut = list => { const page = Math.max(1, Number(state.page) || 1); return list.slice((page - 1) * PAGE, page * PAGE); };

  // --- the state is the address ----------------------------------------------------------------------------------

  const pick = names => Object.fromEntries(names.map(name => [name, state[name]]));
  const read = () => {
    const asked = new URLSearchParams(location.hash.startsWith("#cases?") ? location.hash.slice(7) : "");
    state = Object.fromEntries(NAMES.map(name => [name, asked.get(name) ?? ""]));
    const cell = cellOf(state.cell, state.split), before = cellOf(state.before, state.split), after = cellOf(state.after, state.split);
    for (const known of [cell, before, after]) if (known) { state.task = known.group.task; state.split = known.group.split; }
    if (cell && !state.sample) Object.assign(state, {model: cell.model, prompt: cell.prompt, method: cell.method, cell: ""});
    if (before) state.before = before.method;
    if (after) Object.assign(state, {after: after.method, model: after.model, prompt: after.prompt});
    const groups = data.groups;
    const holds = g => !state.sample || g.samples.includes(state.sample), like = (a, b) => !a || a === b;
    return groups.find(g => like(state.task, g.task) && like(state.split, g.split) && holds(g)) ?? groups.find(g => like(state.task, g.task) && holds(g)) ?? groups[0];
  };
  const go = (filters, replace) => {
    const address = caseLink(filters);
    if (address === location.hash) return;
    if (replace) location.replace(address); else location.hash = address;
  };

  // --- choosing --------------------------------------------------------------------------------------------------

  const error = (cell, s, rule) => {
    if (data.outcomes[cell.outcome[s]] !== "parsed") return Infinity;
    const order = cell.group.order;
    return order ? (cell.value[s] < 0 ? Infinity : order.higher ? -cell.value[s] : cell.value[s]) : 1 - hit(cell, s, rule);
  };
  // Every answer of a group by its error, the unread last; answer number = cell * samples + sample.
  const byError = (group, rule) => {
    const key = group.order ? "value" : rule.metric;
    group.orders ??= {};
    if (group.orders[key]) return group.orders[key];
    const n = group.samples.length, errors = new Float64Array(n * group.cells.length);
    group.cells.forEach((cell, c) => { for (let s = 0; s < n; s++) errors[c * n + s] = error(cell, s, rule); });
    const order = Int32Array.from(errors.keys()).sort((a, b) => errors[a] - errors[b] || a - b || 0);
    let read = order.findIndex(r => errors[r] === Infinity);
    if (read < 0) read = order.length;
    return group.orders[key] = {order, read};
  };
  const ordered = (group, rule) => {
    const n = group.samples.length, total = n * group.cells.length;
    if (state.sort === "data") return Int32Array.from({length: total}, (_, i) => (i % group.cells.length) * n + Math.floor(i / group.cells.length));
    const {order, read} = byError(group, rule);
    return state.sort === "-error" ? Int32Array.from({length: total}, (_, i) => order[i < read ? read - 1 - i : i]) : order;
  };
  let found = {key: null, rows: []};
  const matching = group => {
    const key = JSON.stringify(pick(FILTERS)) + data.groups.indexOf(group);
    if (found.key === key) return found.rows;
    const rule = ruleOf(group), n = group.samples.length, rows = [];
    const wanted = group.cells.map(c => (!state.model || c.model === state.model) && (!state.prompt || c.prompt === state.prompt) && (!state.method || c.method === state.method));
    const outcome = state.outcome ? data.outcomes.indexOf(state.outcome) : -1;
    const scale = group.order ? group.order.scale : 1, from = state.from === "" ? -1 : scale * Number(state.from), to = state.to === "" ? Infinity : scale * Number(state.to);
    const ranged = group.order && (from >= 0 || to < Infinity), wantedHit = state.hit === "" ? -2 : Number(state.hit);
    let holds = null;
    if (state.q) {
      lower ??= texts.map(t => t.toLowerCase());
      const q = state.q.toLowerCase();
      holds = lower.map(t => t.includes(q));
    }
    for (const r of ordered(group, rule)) {
      const c = Math.floor(r / n);
      if (!wanted[c]) continue;
      const cell = group.cells[c], s = r - c * n;
      if (cell.outcome[s] < 0 || (outcome >= 0 && cell.outcome[s] !== outcome)) continue;
      if (ranged && (cell.value[s] < 0 || cell.value[s] < from || cell.value[s] > to)) continue;
      if (wantedHit !== -2 && hit(cell, s, rule) !== wantedHit) continue;
      if (holds && !(cell.text[s] >= 0 && holds[cell.text[s]])) continue;
      rows.push(r);
    }
    found = {key, rows};
    return rows;
  };

  // --- the form --------------------------------------------------------------------------------------------------

  const options = (name, pairs, value) => {
    const select = fields[name], key = JSON.stringify(pairs);
    if (select.dataset.key !== key) {
      select.replaceChildren(...pairs.map(([v, t]) => el("option", {value: v}, t)));
      select.dataset.key = key;
    }
    select.value = value;
  };
  const all = values => [["", "all"], ...unique(values).map(v => [v, v])];
  const fill = group => {
    const view = state.view === "flips" ? "flips" : "answers";
    for (const label of form.querySelectorAll("label")) {
      const single = label.querySelector("[name=group]") && data.groups.length < 2;
      label.hidden = single || !label.dataset.for.split(" ").includes(view) || ("ordered" in label.dataset && !group.order);
    }
    for (const unit of form.querySelectorAll("[data-unit]")) unit.textContent = group.order ? group.order.unit : "";
    options("group", data.groups.map((g, i) => [String(i), g.title]), String(data.groups.indexOf(group)));
    options("model", all(group.cells.map(c => c.model)), state.model);
    options("prompt", all(group.cells.map(c => c.prompt)), state.prompt);
    options("method", all(group.cells.map(c => c.method)), state.method);
    const there = data.outcomes.filter((_, i) => group.cells.some(c => c.outcome.includes(i)));
    options("outcome", [["", "all"], ...there.map(o => [o, data.outcome_names[data.outcomes.indexOf(o)]])], state.outcome);
    options("rule", group.rules.map(r => [r.metric, r.title]), ruleOf(group).metric);
    const methods = unique(group.cells.map(c => c.method)).map(m => [m, m]);
    options("before", methods, state.before);
    options("after", methods, state.after);
    for (const name of ["hit", "from", "to", "q", "sort", "kind"]) if (document.activeElement !== fields[name]) fields[name].value = state[name];
    for (const tab of app.querySelectorAll("[data-view]")) {
      if (tab.dataset.view === state.view) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
      tab.href = caseLink({task: group.task, split: group.split, model: state.model, prompt: state.prompt, rule: state.rule, view: tab.dataset.view});
    }
    document.getElementById("browser-clear").href = caseLink({view: state.view, task: group.task, split: group.split});
  };
  const chosen = () => {
    const group = data.groups[Number(fields.group.value)], flips = state.view === "flips";
    const value = name => fields[name].value;
    // Another task may have other models, prompts and methods.
    const there = name => group.cells.some(c => c[name] === value(name)) ? value(name) : "";
    const both = {task: group.task, split: group.split, model: there("model"), prompt: there("prompt"), rule: value("rule") === (group.tested ?? group.rules[0].metric) ? "" : value("rule")};
    if (flips) return {view: "flips", ...both, before: value("before"), after: value("after"), kind: value("kind")};
    return {...both, method: there("method"), ...Object.fromEntries(["outcome", "hit", "from", "to", "q", "sort"].map(name => [name, value(name)]))};
  };
  let waiting = 0;
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("change", event => { if (event.target.tagName === "SELECT") go(chosen()); });
  form.addEventListener("input", event => {
    if (event.target.tagName !== "INPUT") return;
    clearTimeout(waiting);
    waiting = setTimeout(() => go(chosen(), true), 200);
  });

  // --- the list of answers ---------------------------------------------------------------------------------------

  const list = group => {
    const rows = matching(group), n = group.samples.length;
    const asked = group.cells.reduce((sum, c) => sum + c.outcome.reduce((k, o) => k + (o >= 0), 0), 0);
    const images = new Set(rows.map(r => r % n)).size;
    told.textContent = (state.cell ? `The page holds no answers of the cell ${state.cell}. ` : "") + `${count(rows.length)} of ${count(asked)} answers, to ${count(images)} of ${count(n)} images.` + ` ${group.order ? "Green" : "✓"}: ${ruleOf(group).title}.`;
    const made = cut(rows).map(r => {
      const cell = group.cells[Math.floor(r / n)], s = r % n, href = opening(cell, s);
      return el("tr", {}, thumb(group, s, href), named(group, s, href), el("td", {class: "name"}, cell.model), el("td", {class: "name"}, cell.prompt), method(cell), el("td", {class: "n"}, result(cell, s)), el("td", {}, excerpt(cell, s)));
    });
    const turn = pages(rows.length, page => caseLink({...pick(FILTERS), page}));
    shown.replaceChildren(rows.length ? table(heads("", "image, truth", "model", "prompt", "method", "#" + (group.order ? "error" : "answer"), "raw answer"), made) : el("p", {class: "lead"}, "No answer is like that; widen the filters."), ...(turn ? [turn] : []));
    return rows.length;
  };

  // --- one image -------------------------------------------------------------------------------------------------

  const smallMap = (group, s, opened) => {
    const at = group.at[s];
    if (!at) return null;
    const map = document.getElementById("browser-map").content.firstElementChild.cloneNode(), NS = map.namespaceURI;
    const add = (name, attributes, title) => {
      const e = document.createElementNS(NS, name);
      for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
      if (title) { const t = document.createElementNS(NS, "title"); t.textContent = title; e.append(t); }
      map.append(e);
    };
    const backdrop = document.querySelector("#map .map image");
    if (backdrop) map.append(backdrop.cloneNode(false));
    const xy = (north, east) => [(east + 180) / 360 * 1024, (90 - north) / 180 * 512];
    const [x, y] = xy(at[0], at[1]);
    // This answer last, so that the others don't hide it.
    for (const cell of [...group.cells.filter(c => c !== opened), opened]) {
      const place = cell.place?.[s];
      if (!place) continue;
      const own = cell === opened, [u, v] = xy(place[0] / 1000, place[1] / 1000);
      if (own) {
        // The short way round: a line that leaves the map at one edge comes back at the other.
        const to = u - x > 512 ? u - 1024 : x - u > 512 ? u + 1024 : u;
        for (const shift of [0, u - to]) add("path", {d: `M${x + shift} ${y}L${to + shift} ${v}`, stroke: "#F0E442", "stroke-width": 3, fill: "none"});
      }
      add("circle", {cx: u, cy: v, r: own ? 9 : 5.5, fill: own ? "#F0E442" : "#56B4E9", "fill-opacity": own ? 1 : .75}, `${cell.model} · ${cell.prompt} · ${cell.method}: ${group.order ? valued(group, cell.value[s]) : ""}`);
    }
    add("circle", {cx: x, cy: y, r: 9, fill: "#fff", stroke: "#0b1c33", "stroke-width": 3}, `true place: ${at[0]}, ${at[1]}`);
    return el("figure", {}, el("div", {class: "map"}, map), el("figcaption", {}, "White: the true place. Yellow: this answer. Blue: the other answers."));
  };
  const detail = group => {
    const s = group.samples.indexOf(state.sample);
    if (s < 0) {
      told.textContent = `The page does not hold the image ${state.sample}.`;
      shown.replaceChildren();
      return 0;
    }
    const rule = ruleOf(group), n = group.samples.length;
    const replies = group.cells.filter(c => c.outcome[s] >= 0).sort((a, b) => error(a, s, rule) - error(b, s, rule) || 0);
    const back = caseLink({...pick(LIST), page: state.page});
    const rows = state.view === "flips" ? flipped(group).rows.map(([p, s]) => group.cells.indexOf(p.b) * n + s) : matching(group);
    const opened = cellOf(state.cell, group.split) ?? group.cells[Math.floor(rows.find(r => r % n === s) / n)] ?? replies[0];
    const here = rows.indexOf(group.cells.indexOf(opened) * n + s);
    const beside = step => {
      const r = here < 0 ? undefined : rows[here + step];
      return r === undefined ? null : opening(group.cells[Math.floor(r / n)], r % n);
    };
    const turn = (href, name, rel) => href ? el("a", {href, rel}, name) : null;
    told.textContent = "";
    const images = group.images[s];
    const figure = (path, at) => el("figure", {}, picture(group, s, at) ? el("img", {src: picture(group, s, at), alt: `image ${group.samples[s]}`}) : el("div", {class: "no-picture"}, `This picture is not in the page. It is at ${path}`), el("figcaption", {}, group.image_names[at] ? `${group.image_names[at]} · ${path}` : path));
    const overlay = pictures[`${opened.id}/${group.samples[s]}`];
    const left = el("div", {class: "case-pictures"},
      ...(images.length ? images.map(figure) : [el("figure", {}, el("div", {class: "no-picture"}, "No picture: the sample has none, or the prepared data is gone."))]),
      overlay ? el("figure", {}, el("img", {src: overlay, alt: "what the answer rests on"}), el("figcaption", {}, "What this answer rests on, as paceline explain drew it.")) : null,
      smallMap(group, s, opened));
    const at = group.at[s], place = opened.place?.[s], whole = text(opened, s), missing = data.cut[opened.text[s]];
    const prompt = data.prompts[opened.asked];
    const holder = el("div", {});
    const reply = cell => {
      const href = opening(cell, s);
      return el("tr", {class: cell === opened ? "own" : null}, el("td", {class: "id name"}, el("a", {href, "aria-current": cell === opened ? "true" : null}, cell.model), el("span", {class: "sub"}, cell.prompt)), method(cell), el("td", {class: "n"}, result(cell, s)), el("td", {}, excerpt(cell, s, 600)));
    };
    const others = most => {
      const words = state.among.toLowerCase().split(/\s+/).filter(Boolean);
      const like = replies.filter(c => words.every(w => `${c.model} ${c.prompt} ${c.method} ${data.outcome_names[c.outcome[s]]}`.toLowerCase().includes(w)));
      const more = el("button", {type: "button", class: "more"}, `show all ${count(like.length)}`);
      more.addEventListener("click", () => others(Infinity));
      holder.replaceChildren(table(heads("model, prompt", "method", "#" + (group.order ? "error" : "answer"), "raw answer"), like.slice(0, most).map(reply)), ...(like.length > most ? [more] : []));
    };
    const among = el("input", {type: "search", value: state.among, "aria-label": "filter the answers to this image", placeholder: "words of model, prompt, method, outcome"});
    among.addEventListener("input", () => {
      state.among = among.value;
      history.replaceState(null, "", caseLink(pick(NAMES)));
      others(MOST_REPLIES);
    });
    others(MOST_REPLIES);
    const right = el("div", {},
      el("h4", {}, `${opened.model} · ${opened.prompt} · ${opened.method}`),
      el("dl", {}, el("dt", {}, "truth"), el("dd", {}, group.truth[s] || "–", at ? ` (${at[0].toFixed(3)}, ${at[1].toFixed(3)})` : ""),
        el("dt", {}, "answer"), el("dd", {}, result(opened, s), place ? ` at ${(place[0] / 1000).toFixed(3)}, ${(place[1] / 1000).toFixed(3)}` : ""),
        el("dt", {}, "cell"), el("dd", {}, el("code", {}, opened.id))),
      el("h4", {}, "Raw answer"),
      el("pre", {class: "answer", tabindex: "0"}, opened.outcome[s] < 0 ? "not asked" : whole === null ? "The page has no room for this text; predictions.jsonl of the cell holds it." : whole === "" ? "(empty)" : whole, missing ? ` … and ${count(missing)} more characters` : ""),
      el("h4", {}, "Prompt"),
      el("pre", {class: "prompt", tabindex: "0"}, prompt.system ? `[system] ${prompt.system}\n\n` : "", prompt.text || "(no text)"),
      el("h4", {}, `Every answer to this image (${count(replies.length)})`), el("div", {class: "filters"}, among), holder);
    const heading = el("h3", {tabindex: "-1"}, group.samples[s], el("span", {class: "split"}, ` · ${group.title}`));
    const panel = el("article", {class: "case", "aria-label": `image ${group.samples[s]}`},
      el("p", {class: "case-head"}, el("a", {href: back, class: "back"}, "← back to the list"), turn(beside(-1), "previous", "prev"), here < 0 ? null : el("span", {}, `${count(here + 1)} of ${count(rows.length)}`), turn(beside(1), "next", "next")),
      heading, el("div", {class: "case-top"}, left, right));
    shown.replaceChildren(panel);
    return 1;
  };

  // --- flips -----------------------------------------------------------------------------------------------------

  const kindOf = (was, is) => was < 0 || is < 0 ? "" : was ? is ? "both" : "lost" : is ? "gained" : "neither";
  // Pairs of cells of one model and prompt with their counts, those that differ most first; and the answers to show.
  const flipped = group => {
    const methods = unique(group.cells.map(c => c.method)), rule = ruleOf(group), firsts = new Map(), pairs = [];
    if (!methods.includes(state.before)) state.before = group.cells.find(c => !c.trained_on)?.method ?? methods[0];
    if (!methods.includes(state.after)) state.after = methods.find(m => m !== state.before) ?? methods[0];
    for (const c of group.cells) if (c.method === state.before) firsts.set(`${c.model}\n${c.prompt}`, c);
    for (const b of group.cells) {
      const a = firsts.get(`${b.model}\n${b.prompt}`);
      if (!a || a === b || b.method !== state.after || (state.model && b.model !== state.model) || (state.prompt && b.prompt !== state.prompt)) continue;
      const pair = {a, b, both: 0, gained: 0, lost: 0, neither: 0, kinds: []};
      for (let s = 0; s < group.samples.length; s++) {
        const kind = a.outcome[s] < 0 || b.outcome[s] < 0 ? "" : kindOf(hit(a, s, rule), hit(b, s, rule));
        pair.kinds.push(kind);
        if (kind) pair[kind] += 1;
      }
      pairs.push(pair);
    }
    pairs.sort((p, q) => Math.abs(q.gained - q.lost) - Math.abs(p.gained - p.lost) || q.gained + q.lost - p.gained - p.lost);
    const wanted = kind => state.kind ? kind === state.kind : kind === "gained" || kind === "lost";
    return {pairs, rows: pairs.flatMap(p => p.kinds.flatMap((kind, s) => wanted(kind) ? [[p, s, kind]] : []))};
  };
  const flips = group => {
    const {pairs, rows} = flipped(group), rule = ruleOf(group);
    fields.before.value = state.before; fields.after.value = state.after;
    const keep = extra => caseLink({...pick(["view", "task", "split", "model", "prompt", "rule", "before", "after", "kind"]), ...extra});
    if (!pairs.length) {
      told.textContent = state.before === state.after ? "Choose two methods." : `No model answered one prompt both as ${state.before} and as ${state.after}.`;
      shown.replaceChildren();
      return 0;
    }
    const sum = name => pairs.reduce((k, p) => k + p[name], 0);
    told.textContent = `${rule.title}: ${state.before} → ${state.after}, ${pairs.length === 1 ? `${pairs[0].b.model} · ${pairs[0].b.prompt}` : `${count(pairs.length)} pairs of cells`}: ${count(sum("gained"))} from miss to hit, ${count(sum("lost"))} from hit to miss.`;
    const number = (value, href) => el("td", {class: "n"}, value ? el("a", {href}, count(value)) : el("span", {class: "zero"}, "0"));
    const line = p => {
      const own = {model: p.b.model, prompt: p.b.prompt, page: ""};
      const corrected = rule.metric === group.tested && p.b.against?.[0] === p.a.id ? p.b.against[1] : "";
      const alone = mcnemar(p.gained, p.lost);
      return el("tr", {}, el("td", {class: "name"}, el("a", {href: keep(own)}, p.b.model)), el("td", {class: "name"}, p.b.prompt),
        ...["gained", "lost", "both", "neither"].map(kind => number(p[kind], keep({...own, kind}))),
        el("td", {class: "n", "data-p": alone}, shownP(alone)), el("td", {class: "n"}, corrected || "–"));
    };
    const changed = pairs.filter(p => p.gained || p.lost || pairs.length === 1), left = pairs.length - Math.min(changed.length, MOST_PAIRS);
    const counts = el("div", {}, table(heads("model", "prompt", "#miss → hit", "#hit → miss", "#hit by both", "#missed by both", "#one test", "#corrected"), changed.slice(0, MOST_PAIRS).map(line)),
      el("p", {class: "caption"}, `p of McNemar's exact test: of this pair alone, and Holm-corrected over the sweep where the report tests it (${group.rules.find(r => r.metric === group.tested)?.title ?? "no metric"}).` + (left ? ` ${count(left)} more pairs are not in this table: ${changed.length > MOST_PAIRS ? "they differ less" : "nothing flipped in them"}.` : "")));
    const names = {gained: "miss → hit", lost: "hit → miss", both: "hit by both", neither: "missed by both"};
    const made = cut(rows).map(([p, s, kind]) => {
      const href = opening(p.b, s);
      return el("tr", {}, thumb(group, s, href), named(group, s, href), el("td", {class: "name"}, p.b.model, el("span", {class: "sub"}, p.b.prompt)),
        el("td", {class: kind === "gained" ? "name hit" : kind === "lost" ? "name miss" : "name"}, names[kind]),
        el("td", {}, el("a", {href: opening(p.a, s)}, result(p.a, s)), excerpt(p.a, s)), el("td", {}, el("a", {href}, result(p.b, s)), excerpt(p.b, s)));
    });
    const turn = pages(rows.length, page => keep({page}));
    shown.replaceChildren(counts, el("h4", {}, `${count(rows.length)} answers ${state.kind ? names[state.kind] : "that flipped"}`),
      ...(rows.length ? [table(heads("", "image, truth", "model, prompt", "", state.before, state.after), made)] : []), ...(turn ? [turn] : []));
    return rows.length;
  };

  // --- drawing ---------------------------------------------------------------------------------------------------

  const draw = async () => {
    if (!data) told.textContent = "Unpacking the answers …";
    await load();
    const group = read();
    const view = state.sample ? "case" : state.view === "flips" ? "flips" : "list";
    form.hidden = view === "case";
    fill(group);
    const n = view === "case" ? detail(group) : view === "flips" ? flips(group) : list(group);
    app.dataset.shown = `${view} ${n}`;
    const place = `${view} ${state.page}`;
    // From a number elsewhere, to another page or to an image: begin at the top.
    if (jump || (last && last !== place)) section.scrollIntoView({behavior: "instant"});
    if (last && view === "case") shown.querySelector("h3")?.focus({preventScroll: true});
    jump = false; last = place;
  };
  const safely = () => draw().catch(problem => { told.textContent = `The answers can't be shown: ${problem.message}`; });
  addEventListener("hashchange", () => { if (location.hash.startsWith("#cases?")) safely(); });
  document.addEventListener("click", event => {
    const anchor = event.target.closest("a");
    if (anchor && !app.contains(anchor) && (anchor.getAttribute("href") ?? "").startsWith("#cases?")) {
      jump = true;
      // The same address again is no change of it.
      if (anchor.getAttribute("href") === location.hash) safely();
    }
  });
  app.addEventListener("keydown", event => {
    if (!state.sample || event.target.tagName === "INPUT" || event.altKey || event.ctrlKey || event.metaKey) return;
    const rel = {ArrowLeft: "[rel=prev]", ArrowRight: "[rel=next]", Escape: ".back"}[event.key];
    const anchor = rel && event.target.tagName !== "PRE" && shown.querySelector(rel);
    if (anchor) { event.preventDefault(); location.hash = anchor.getAttribute("href"); }
  });
  // Nothing is unpacked before somebody asks: a list that grows while one reads moves what stands below.
  if (location.hash.startsWith("#cases?")) { jump = true; safely(); }
})();
