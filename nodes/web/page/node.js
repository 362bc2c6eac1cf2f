// One node: all that is known of it.

import { makeChart } from "./chart.js";
import { el, say } from "./dom.js";
import { makeFeed } from "./feed.js";
import { bytes, clock, count, duration, figure, text } from "./format.js";
import { makeGantt } from "./gantt.js";
import { byName } from "./order.js";
import { lines } from "./series.js";
import { stateOf } from "./states.js";
import { ask } from "./stream.js";
import { makeTable } from "./table.js";
import { WORDS, usedEdges } from "./topology.js";

export function open(root, app, name) {
  const { store, history, now, go } = app;
  const heading = el("h2", { class: "name" });
  const facts = el("dl", { class: "facts" });
  const rejected = el("dl", { class: "facts" });
  const curves = [["metric", "Score", store.outcome.metric_name ?? "accuracy", "l0"], ["loss", "Training loss", "training loss", "l1"]]
    .map(([column, title, label, paint]) => ({ column, chart: makeChart({
      title, name: `${column}-${name}`, height: 150, lines: [{ label, paint, dash: [] }],
    }) }));
  const gantt = makeGantt({ store, only: name });
  const edges = makeTable({
    name: `edges-${name}`, label: "Its edges", keyOf: (row) => row.other + row.way, height: "320px",
    open: (row) => go(`nodes/${encodeURIComponent(row.other)}`),
    columns: [
      { label: "neighbor", value: (row) => row.other, show: (row) => text(row.other, 200) },
      { label: "way", value: (row) => row.way, show: (row) => row.way },
      { label: "state", value: (row) => row.state, show: (row) => text(WORDS[row.state] ?? row.state, 40) },
      { label: "bytes", number: true, value: (row) => row.size, show: (row) => bytes(row.size) },
      { label: "messages", number: true, value: (row) => row.messages, show: (row) => count(row.messages) },
    ],
  });
  const feed = makeFeed(store, (line) => line.node === name);
  root.append(
    el("div", { class: "tools" }, el("a", { href: "#nodes", text: "← all nodes" }), el("span", { class: "quiet", text: "j, k: next and previous" })),
    el("div", { class: "two" },
      el("div", { class: "stack" }, el("section", {}, heading, facts, rejected), ...curves.map(({ chart }) => chart.root), gantt.root),
      el("div", { class: "stack" }, el("section", {}, el("h2", { text: "Edges" }), edges.root), feed.root)),
  );

  recall(app, name);

  function step(by) {
    const all = [...store.nodes.keys()].sort(byName);
    const to = all[all.indexOf(name) + by];
    if (to !== undefined) go(`nodes/${encodeURIComponent(to)}`);
  }

  return {
    update() {
      const node = store.nodes.get(name);
      say(heading, node ? text(name, 200) : `${text(name, 200)}: there is no such node in this run`);
      if (!node) return;
      list(facts, factsOf(node, store, now()));
      list(rejected, Object.entries(node.rejected ?? {}).map(([why, times]) => [`rejected ${count(times)}`, text(why, 300)]));
      const seen = history.of(name);
      for (const { column, chart } of curves) chart.update(seen.round.length > 1 ? lines(seen, [column], { gaps: false }) : [[], []]);
      gantt.update();
      edges.update(edgesOf(store, name));
      feed.update();
    },
    move: step,
    back: () => go("nodes"),
  };
}

/** Ask for the rounds of a node that this page has not seen; a replay shows its own. */
async function recall({ store, history, replayed }, name) {
  if (replayed()) return;
  try {
    const told = await ask(`node?name=${encodeURIComponent(name)}`);
    if (told.run !== store.outcome.run || replayed()) return;
    history.begin(name, told);
    store.changes += 1;
  } catch (error) {
    console.info("no earlier rounds of this node:", error.message);
  }
}

function factsOf(node, store, now) {
  const state = stateOf(node, now, store.stale_after_s);
  const age = (time) => (typeof time === "number" ? `${duration(now - time)} ago, ${clock(time)}` : "–");
  return [
    ["state", `${state.sign} ${state.word}${node.reason ? `: ${text(node.reason)}` : ""}`],
    ["role", text(node.role, 40)],
    ["region", node.region ? text(node.region, 200) : "–"],
    ["round", count(node.round)],
    [text(store.outcome.metric_name ?? "score", 40), figure(node.metric)],
    ["training loss", figure(node.loss)],
    ["test loss", figure(node.test_loss)],
    ["its model", age(node.model_at)],
    ["staleness", figure(node.staleness)],
    ["waited, last round", duration(node.wait_s)],
    ["sent, received", `${bytes(node.bytes_sent)}, ${bytes(node.bytes_received)}`],
    ["messages", `${count(node.messages_sent)} sent, ${count(node.messages_received)} received, ${count(node.dropped)} dropped`],
    ["push-sum mass", figure(node.mass)],
    ["rows", count(node.examples)],
    ["last seen", age(node.last_seen)],
    ["process, address", [node.pid, text(node.address ?? "")].filter(Boolean).join(", ") || "–"],
  ].filter(([label, words]) => words !== "–" || label === "state");
}

function edgesOf(store, name) {
  const rows = [];
  for (const [a, b, state, size, messages] of usedEdges(store)) {
    if (a === name) rows.push({ other: b, way: "to", state, size, messages });
    else if (b === name) rows.push({ other: a, way: "from", state, size, messages });
  }
  return rows;
}

function list(root, rows) {
  const words = JSON.stringify(rows);
  if (root.dataset.words === words) return;
  root.dataset.words = words;
  root.replaceChildren(...rows.flatMap(([label, value]) => [el("dt", { text: label }), el("dd", { class: "name", text: value })]));
}
