// All nodes in a table, to sort and to filter.

import { el } from "./dom.js";
import { bytes, count, duration, figure, known, text } from "./format.js";
import { stateOf } from "./states.js";
import { makeTable } from "./table.js";

export const title = "Nodes";

export function open(root, app) {
  const { store, now, go } = app;
  const words = el("input", { type: "search", placeholder: "name, state or reason", "aria-label": "Filter", oninput: update });
  const chosen = el("select", { "aria-label": "State", onchange: update }, el("option", { value: "", text: "every state" }));
  const found = el("span", { class: "quiet" });
  const make = (regional) => makeTable({
    columns: columnsOf(store, now, regional), name: "nodes", label: "Nodes", keyOf: (row) => row.name, height: "calc(100vh - 250px)",
    open: (row) => go(`nodes/${encodeURIComponent(row.name)}`),
  });
  let regional = false;
  let table = make(regional);
  const save = el("button", { type: "button", text: "CSV", onclick: () => table.save() });
  root.append(el("div", { class: "tools" }, words, chosen, save, found), table.root);

  function update() {
    const rows = [...store.nodes].map(([name, node]) => ({ name, node, ...stateOf(node, now(), store.stale_after_s) }));
    offer(chosen, rows);
    const wanted = words.value.trim().toLowerCase();
    const fits = (row) => (!chosen.value || row.word === chosen.value)
      && (!wanted || `${row.name} ${row.word} ${row.node.role} ${row.node.region ?? ""} ${row.node.reason ?? ""} ${rejections(row.node).text}`.toLowerCase().includes(wanted));
    const shown = rows.filter(fits);
    if (!regional && rows.some((row) => row.node.region && row.node.role === "client")) {
      regional = true;
      const before = table;
      table = make(regional);
      before.root.replaceWith(table.root);
    }
    found.textContent = shown.length === rows.length ? `${count(rows.length)} nodes` : `${count(shown.length)} of ${count(rows.length)} nodes`;
    table.update(shown);
  }

  return {
    update,
    move: (step) => table.move(step),
    enter: () => table.openSelected(),
    filter: () => words.focus(),
    back: () => { words.value = ""; words.blur(); update(); },
  };
}

function columnsOf(store, now, regional) {
  const age = (row) => (known(row.node.model_at) ? Math.max(0, now() - row.node.model_at) : null);
  const seen = (row) => (known(row.node.last_seen) ? Math.max(0, now() - row.node.last_seen) : null);
  const plain = (label, key, show, hint) => ({
    label, number: true, title: hint, value: (row) => row.node[key] ?? null, show: (row) => show(row.node[key]),
  });
  return [
    { label: "node", value: (row) => row.name, show: (row) => text(row.name, 200) },
    ...(regional ? [{ label: "region", value: (row) => row.node.region ?? "", show: (row) => text(row.node.region ?? "", 200) }] : []),
    { label: "state", value: (row) => row.word, show: (row) => `${row.sign} ${row.word}`, tone: (row) => row.tone },
    plain("round", "round", count),
    plain("loss", "loss", figure, "Training loss"),
    { ...plain("score", "metric", figure), title: `Score of its model (${store.outcome.metric_name ?? "accuracy"})` },
    { label: "model age", number: true, title: "Since its model was last renewed", value: age, show: (row) => duration(age(row)) },
    plain("staleness", "staleness", figure, "Steps that the model made while this node worked"),
    plain("sent", "bytes_sent", bytes),
    plain("received", "bytes_received", bytes),
    plain("wait", "wait_s", duration, "Time it waited for others in its last round"),
    { label: "last seen", number: true, value: seen, show: (row) => (known(seen(row)) ? `${duration(seen(row))} ago` : "–") },
    { label: "rejected", down: true, value: (row) => rejections(row.node).sum, show: (row) => rejections(row.node).text, title: "Messages that did not count, and why" },
    { label: "reason", value: (row) => row.node.reason ?? "", show: (row) => text(row.node.reason ?? "") },
  ];
}

/** Return how many messages of a node did not count, with the most frequent reason. */
export function rejections(node) {
  const reasons = Object.entries(node.rejected ?? {}).sort(([, a], [, b]) => b - a);
  const sum = reasons.reduce((all, [, times]) => all + times, 0);
  return { sum, text: sum ? `${count(sum)}: ${text(reasons[0][0], 120)}${reasons.length > 1 ? " …" : ""}` : "0" };
}

/** Keep the choice of states up to date, without closing it under somebody's hand. */
function offer(chosen, rows) {
  const words = [...new Set(rows.map((row) => row.word))].sort();
  const there = [...chosen.options].slice(1).map((option) => option.value);
  if (chosen === document.activeElement || words.join("\n") === there.join("\n")) return;
  const before = chosen.value;
  chosen.replaceChildren(chosen.options[0], ...words.map((word) => el("option", { value: word, text: word })));
  chosen.value = words.includes(before) ? before : "";
}
