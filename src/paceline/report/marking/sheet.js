"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const names = data.criteria.map((criterion) => criterion.name);
  const find = (id) => document.getElementById(id);
  const store = "paceline-marks-" + data.id;
  let marks = {}; // key -> {criterion: "yes", "no" or a choice, note: text}
  let at = 0, focus = 0;
  const ask = (event) => event.preventDefault(); // before marks go with the page

  function tell(text) {
    find("problem").textContent = text;
    find("problem").hidden = !text;
  }

  function restore() {
    try {
      const kept = JSON.parse(localStorage.getItem(store) || "{}");
      marks = kept.marks || {};
      at = Math.min(kept.at || 0, data.rows.length - 1);
      find("marker").value = kept.marker || "";
    } catch {
      tell("This browser keeps no marks of a local file: save the CSV file before you close the page.");
    }
  }

  function keep() {
    try {
      localStorage.setItem(store, JSON.stringify({ marks, at, marker: find("marker").value }));
    } catch {
      addEventListener("beforeunload", ask);
      tell("This browser keeps no marks of a local file: save the CSV file before you close the page.");
    }
  }

  const of = (row) => marks[row.key] || {};
  const count = (row) => names.filter((name) => of(row)[name]).length;
  const isOpen = (row) => count(row) < names.length;

  function draw() {
    const row = data.rows[at];
    find("place").textContent = `answer ${at + 1} of ${data.rows.length}`;
    find("question").textContent = row.question;
    find("question").hidden = !row.question;
    find("answer").textContent = row.answer || "The model gave no answer.";
    find("answer").className = row.answer ? "" : "none";
    find("note").value = of(row).note || "";
    find("pictures").replaceChildren(...row.images.map((key, number) => {
      const image = document.createElement("img");
      image.src = data.images[key];
      image.alt = `picture ${number + 1} of the answer`;
      return image;
    }), ...(row.left_out ? [Object.assign(document.createElement("p"), { textContent: `not in this file: ${row.picture}` })] : []));
    if (find("truth")) {
      find("truth").open = data.by_truth;
      find("references").textContent = row.references;
    }
    drawMarks();
  }

  function drawMarks() {
    const row = data.rows[at];
    document.querySelectorAll("fieldset").forEach((set, number) => {
      set.classList.toggle("now", number === focus);
      for (const button of set.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(of(row)[names[number]] === button.dataset.value));
      }
    });
    [...find("chips").children].forEach((chip, number) => {
      const marked = count(data.rows[number]);
      chip.className = marked === names.length ? "whole" : marked ? "part" : "";
      chip.classList.toggle("now", number === at);
    });
    const whole = data.rows.filter((one) => !isOpen(one)).length;
    find("told").textContent = `${whole} of ${data.rows.length} marked`;
    find("bar").style.width = `${(100 * whole) / data.rows.length}%`;
  }

  function go(place) {
    at = Math.max(0, Math.min(data.rows.length - 1, place));
    focus = Math.max(0, names.findIndex((name) => !of(data.rows[at])[name]));
    draw();
  }

  function nextOpen() {
    for (let step = 1; step <= data.rows.length; step++) {
      const place = (at + step) % data.rows.length;
      if (isOpen(data.rows[place])) return go(place);
    }
    drawMarks();
  }

  function mark(number, value) {
    const row = data.rows[at];
    marks[row.key] = { ...of(row), [names[number]]: value };
    const open = names.findIndex((name) => !of(row)[name]);
    if (open < 0 && at + 1 < data.rows.length) go(at + 1);
    else {
      focus = open < 0 ? Math.min(number + 1, names.length - 1) : open;
      drawMarks();
    }
    keep();
  }

  // As store/spreadsheet.py does: no spreadsheet program may run a cell as a formula.
  function safe(text) {
    const first = [...text.trimStart()][0];
    return (first && data.formula.includes(first)) || /^[\t\r\n']/.test(text) ? "'" + text : text;
  }

  function csv() {
    const fields = { picture: "picture", key: "key", question: "question", answer: "answer", references: "references" };
    const lines = [data.columns];
    for (const row of data.rows) {
      lines.push(data.columns.map((name) => (names.includes(name) || name === "note" ? of(row)[name] || "" : row[fields[name]])));
    }
    const quoted = (text) => `"${safe(String(text)).replaceAll('"', '""')}"`;
    return "\ufeff" + lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  function save() {
    const link = document.createElement("a");
    const marker = find("marker").value.trim().replace(/[^\p{L}\p{N}_.-]+/gu, "_");
    link.download = `${data.name}-${marker || "marked"}.csv`;
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    removeEventListener("beforeunload", ask);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement) {
      if (event.key === "Enter" || event.key === "Escape") event.target.blur();
      return;
    }
    const choice = "123456789".indexOf(event.key);
    const values = data.criteria[focus].values;
    const answersYes = values[0] === "yes";
    const does = choice >= 0 && choice < values.length && !answersYes ? () => mark(focus, values[choice]) : {
      ...(answersYes ? { y: () => mark(focus, "yes"), n: () => mark(focus, "no") } : {}),
      ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1), o: nextOpen, s: save,
      Backspace: () => {
        const note = of(data.rows[at]).note;
        marks[data.rows[at].key] = note ? { note } : {};
        focus = 0;
        drawMarks();
        keep();
      },
      r: () => { if (find("truth")) find("truth").open = !find("truth").open; },
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });
  document.querySelectorAll("fieldset").forEach((set, number) => {
    for (const button of set.querySelectorAll("button")) button.addEventListener("click", () => mark(number, button.dataset.value));
  });
  find("note").addEventListener("input", () => {
    marks[data.rows[at].key] = { ...of(data.rows[at]), note: find("note").value };
    keep();
  });
  find("marker").addEventListener("input", keep);
  find("back").addEventListener("click", () => go(at - 1));
  find("next").addEventListener("click", () => go(at + 1));
  find("open").addEventListener("click", nextOpen);
  find("save").addEventListener("click", save);
  find("chips").replaceChildren(...data.rows.map((row, number) => {
    const chip = Object.assign(document.createElement("button"), { type: "button", textContent: String(number + 1) });
    chip.addEventListener("click", () => go(number));
    return chip;
  }));
  window.sheet = { csv };
  restore();
  go(at);
})();
