// The console's only script: live figures, confirmations, copying. It never sees a content key: there is none here.
"use strict";

const KEPT = 120; // seconds of history in a chart

function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "%") return `${(100 * value).toFixed(value === 1 || value === 0 ? 0 : 2)} %`;
  if (unit === "ms") return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
  if (unit === "B/s") {
    const units = ["B/s", "kB/s", "MB/s", "GB/s"];
    let at = 0;
    while (value >= 1000 && at < units.length - 1) { value /= 1000; at += 1; }
    return `${value.toFixed(at && value < 100 ? 1 : 0)} ${units[at]}`;
  }
  return Math.round(value).toLocaleString("en");
}

function draw(figure, values) {
  const svg = figure.querySelector("svg");
  if (!svg || values.length < 2) return;
  const most = Math.max(...values, 1e-9);
  const step = 100 / (KEPT - 1);
  const start = 100 - (values.length - 1) * step;
  const points = values.map((v, i) => `${(start + i * step).toFixed(2)},${(28 - 26 * (v / most)).toFixed(2)}`);
  svg.querySelector(".line").setAttribute("d", `M${points.join("L")}`);
  svg.querySelector(".area").setAttribute("d", `M${start.toFixed(2)},30L${points.join("L")}L100,30Z`);
}

function live(root) {
  const state = document.querySelector("[data-live-state]");
  const history = new Map();
  const source = new EventSource(root.dataset.live);
  const say = (text, kind) => {
    if (state) { state.textContent = text; state.className = `state ${kind}`; }
  };
  source.onopen = () => say("live", "live");
  source.onerror = () => say("connection lost, trying again", "gone");
  source.onmessage = (event) => {
    const figures = JSON.parse(event.data);
    for (const figure of root.querySelectorAll("[data-figure]")) {
      const value = figures[figure.dataset.figure];
      const values = history.get(figure.dataset.figure) ?? [];
      values.push(Number(value ?? 0));
      if (values.length > KEPT) values.shift();
      history.set(figure.dataset.figure, values);
      figure.querySelector(".value").textContent = shown(value, figure.dataset.unit);
      draw(figure, values);
    }
    for (const table of root.querySelectorAll("[data-rows]")) rows(table, figures[table.dataset.rows] ?? []);
  };
  window.addEventListener("pagehide", () => source.close());
}

// Rows of a live table: cells are made from the template that stands in the page, as text only.
function rows(table, list) {
  const template = document.getElementById(table.dataset.template);
  const body = table.tBodies[0];
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  list.forEach((item, place) => {
    let row = known.get(String(item.key));
    known.delete(String(item.key));
    if (!row) {
      row = template.content.firstElementChild.cloneNode(true);
      row.dataset.key = item.key;
    }
    for (const cell of row.querySelectorAll("[data-field]")) {
      const text = cell.dataset.unit ? shown(item[cell.dataset.field], cell.dataset.unit) : String(item[cell.dataset.field] ?? "");
      if (cell.textContent !== text) cell.textContent = text;
    }
    for (const link of row.querySelectorAll("[data-href]")) link.setAttribute("href", item[link.dataset.href]);
    for (const input of row.querySelectorAll("[data-value]")) input.value = item[input.dataset.value];
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of known.values()) row.remove();
  const empty = document.querySelector(`[data-empty-of="${table.dataset.rows}"]`);
  if (empty) empty.hidden = list.length > 0;
}

// A form that does harm asks first; without the dialog element the browser's own question does.
function confirming(event) {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.getElementById("confirm");
  dialog.querySelector("p").textContent = form.dataset.confirm;
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue === "yes") { form.dataset.confirmed = "1"; form.requestSubmit(event.submitter ?? undefined); }
  };
  dialog.showModal();
}

document.addEventListener("submit", confirming);
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent.trim();
  await navigator.clipboard.writeText(text);
  const before = button.textContent;
  button.textContent = "copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});
document.addEventListener("DOMContentLoaded", () => {
  const root = document.querySelector("[data-live]");
  if (root) live(root);
});
