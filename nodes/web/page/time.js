// Where the time of the last rounds went, in all and by node.

import { el, say } from "./dom.js";
import { duration, share, text } from "./format.js";
import { KINDS, makeGantt } from "./gantt.js";
import { byName } from "./order.js";
import { makeTable } from "./table.js";

export const title = "Time";

const ORDERS = {
  "by name": ([a], [b]) => byName(a, b),
  "longest waits first": ([, a], [, b]) => total(b, "wait") - total(a, "wait"),
  "longest trainings first": ([, a], [, b]) => total(b, "train") - total(a, "train"),
};

export function open(root, { store, go }) {
  const many = el("select", { "aria-label": "Rounds", onchange: update },
    ...[1, 3, 10, 30].map((value) => el("option", { value, text: value === 1 ? "the last round" : `the last ${value} rounds`, selected: value === 3 })));
  const order = el("select", { "aria-label": "Order", onchange: update }, ...Object.keys(ORDERS).map((word) => el("option", { text: word })));
  const words = el("p", { role: "status" });
  const gantt = makeGantt({
    store, rounds: () => Number(many.value), order: (a, b) => ORDERS[order.value](a, b) || byName(a[0], b[0]),
    open: (name) => go(`nodes/${encodeURIComponent(name)}`),
  });
  const table = makeTable({
    name: "time-by-node", label: "Time by node", height: "420px", sort: 2, descending: true, keyOf: ([name]) => name,
    open: ([name]) => go(`nodes/${encodeURIComponent(name)}`),
    columns: [
      { label: "node", value: ([name]) => name, show: ([name]) => text(name, 200) },
      ...Object.keys(KINDS).map((kind) => ({
        label: kind, number: true, value: ([, spans]) => total(spans, kind), show: ([, spans]) => duration(total(spans, kind) || null),
      })),
      { label: "share of waiting", number: true, value: waited, show: (row) => share(waited(row), 1) },
    ],
  });
  root.append(el("div", { class: "tools" }, many, order), words, el("div", { class: "stack" }, gantt.root,
    el("section", {}, el("div", { class: "head" }, el("h2", { text: "By node" }), el("button", { type: "button", text: "CSV", onclick: table.save })), table.root)));

  function update() {
    gantt.update();
    const rows = gantt.rows();
    say(words, sentence(rows));
    table.update(rows);
  }

  return { update, move: (step) => table.move(step), enter: () => table.openSelected() };
}

function total(spans, kind) {
  return spans.reduce((sum, span) => sum + (span[1] === kind ? span[3] - span[2] : 0), 0);
}

function waited([, spans]) {
  const all = Object.keys(KINDS).reduce((sum, kind) => sum + total(spans, kind), 0);
  return all > 0 ? total(spans, "wait") / all : null;
}

/** Return how the nodes' time divides, the largest part first. */
function sentence(rows) {
  const parts = Object.keys(KINDS).map((kind) => [kind, rows.reduce((sum, [, spans]) => sum + total(spans, kind), 0)]);
  const all = parts.reduce((sum, [, seconds]) => sum + seconds, 0);
  if (!all) return "";
  const said = parts.filter(([, seconds]) => seconds > 0).sort((a, b) => b[1] - a[1]).map(([kind, seconds]) => `${share(seconds, all)} ${kind}`);
  return `Of the nodes' time: ${said.join(", ")}.`;
}
