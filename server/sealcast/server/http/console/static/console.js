// The console's only script: live figures, confirmations, copying. It never sees a content key: there is none here.
"use strict";

const KEPT = 120; // values in a chart, one a second

function shown(value, unit) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "string") return value;
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

// What a chart shows, for who cannot see it.
function range(values, unit) {
  if (!values.length) return "\u00a0";
  const [least, most] = [shown(Math.min(...values), unit), shown(Math.max(...values), unit)];
  return least === most ? `always ${most}` : `${least} to ${most}`;
}

function draw(figure, values) {
  const svg = figure.querySelector("svg");
  const step = 100 / (KEPT - 1);
  const most = Math.max(...values, 1e-9);
  const start = 100 - (values.length - 1) * step;
  let line = "", area = "", from = null;
  values.forEach((value, i) => { // where nothing came a share has no value, and the line a gap
    if (value === null) { if (from !== null) area += `L${from},30Z`; from = null; return; }
    const x = (start + i * step).toFixed(2), y = (28 - 26 * (value / most)).toFixed(2);
    line += `${from === null ? "M" : "L"}${x},${y}`;
    area += from === null ? `M${x},30L${x},${y}` : `L${x},${y}`;
    from = x;
    if (i === values.length - 1 || values[i + 1] === null) { area += `L${x},30Z`; from = null; line += `h0.01`; }
  });
  svg.querySelector(".line").setAttribute("d", line);
  svg.querySelector(".area").setAttribute("d", area);
}

// Figures that the server has kept, once a second while somebody looks.
function live(root) {
  const state = document.querySelector("[data-live-state]");
  const say = (text, kind) => {
    if (!state || state.textContent === text) return;
    state.textContent = text;
    state.className = `state ${kind}`;
  };
  const show = (answer) => {
    for (const figure of root.querySelectorAll("[data-figure]")) {
      const values = answer.series[figure.dataset.figure] ?? [];
      const unit = figure.dataset.unit;
      figure.querySelector(".value").textContent = shown(values.at(-1), unit);
      draw(figure, values);
      const known = values.filter((value) => value !== null);
      figure.querySelector(".range").textContent = range(known, unit);
    }
    for (const table of root.querySelectorAll("[data-rows]")) rows(table, answer.rows[table.dataset.rows] ?? []);
  };
  const ask = async () => {
    let wait = 1000;
    try {
      if (!document.hidden) {
        const answer = await fetch(root.dataset.live, { cache: "no-store", headers: { Accept: "application/json" } });
        if (answer.status === 401) { location.assign("/console/signin"); return; }
        if (!answer.ok) throw new Error(answer.statusText);
        const news = await answer.json();
        show(news);
        if (root.dataset.gone && news.series.here?.at(-1) === 0) say(root.dataset.gone, "gone");
        else say("live", "live");
      }
    } catch {
      say("connection lost, trying again", "gone");
      wait = 3000;
    }
    setTimeout(ask, wait);
  };
  ask();
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
      const text = shown(item[cell.dataset.field], cell.dataset.unit);
      if (cell.textContent !== text) cell.textContent = text;
    }
    for (const link of row.querySelectorAll("[data-href]")) link.setAttribute("href", item[link.dataset.href]);
    for (const input of row.querySelectorAll("[data-value]")) input.value = item[input.dataset.value];
    for (const button of row.querySelectorAll("[data-about]")) {
      const about = button.querySelector(".unseen");
      if (about.textContent !== ` ${item[button.dataset.about]}`) about.textContent = ` ${item[button.dataset.about]}`;
    }
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of known.values()) row.remove();
  const empty = document.querySelector(`[data-empty-of="${table.dataset.rows}"]`);
  if (empty) empty.hidden = list.length > 0;
}

// A form that does harm asks first. Without this script the server asks, on a page of its own.
function confirming(event) {
  const form = event.target;
  const dialog = document.getElementById("confirm");
  if (!form.dataset.confirm || form.elements.confirmed || !dialog?.showModal) return;
  event.preventDefault();
  dialog.querySelector("p").textContent = form.dataset.confirm;
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    const answer = document.createElement("input");
    answer.type = "hidden"; answer.name = "confirmed"; answer.value = "yes";
    form.append(answer);
    form.requestSubmit();
  };
  dialog.showModal();
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
  } catch { // not allowed: then it is selected, to be copied by hand
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
}

// A one-time code stands in the fragment, which is sent to nobody; it goes from the address bar at once.
function code(field) {
  if (location.hash.length < 2) return;
  field.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  field.form.querySelector("button").focus();
}

document.addEventListener("submit", confirming);
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  const root = document.querySelector("[data-live]");
  if (root) live(root);
  const field = document.querySelector("[data-from-fragment]");
  if (field) code(field);
});
