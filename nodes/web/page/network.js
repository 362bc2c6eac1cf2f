// What went over which edge: a heat map, and the same as a table.

import { makeChart } from "./chart.js";
import { el, say } from "./dom.js";
import { bytes, count, text } from "./format.js";
import { makeHeatMap } from "./heatmap.js";
import { lines } from "./series.js";
import { makeTable } from "./table.js";
import { WORDS, usedEdges } from "./topology.js";

export const title = "Network";

export function open(root, { store, go }) {
  const words = el("p", { role: "status" });
  const heat = makeHeatMap(store);
  const volume = makeChart({
    title: "Bytes by round", name: "bytes", format: bytes, nothing: "Nothing has been sent yet.",
    lines: [{ label: "bytes", paint: "l0", dash: [] }],
  });
  const table = makeTable({
    name: "edges", label: "Edges", keyOf: (row) => row[0] + row[1], sort: 3, descending: true, height: "420px",
    open: (row) => go(`nodes/${encodeURIComponent(row[0])}`),
    columns: [
      { label: "from", value: (row) => row[0], show: (row) => text(row[0], 200) },
      { label: "to", value: (row) => row[1], show: (row) => text(row[1], 200) },
      { label: "state", value: (row) => row[2], show: (row) => text(WORDS[row[2]] ?? row[2], 20), tone: (row) => ({ late: "warn", cut: "bad" })[row[2]] ?? "" },
      { label: "bytes", number: true, value: (row) => row[3], show: (row) => bytes(row[3]) },
      { label: "messages", number: true, value: (row) => row[4], show: (row) => count(row[4]) },
      { label: "dropped", number: true, value: (row) => row[5], show: (row) => count(row[5]), tone: (row) => (row[5] > 0 ? "bad" : "") },
      { label: "last round", number: true, value: (row) => row[6], show: (row) => count(row[6]) },
    ],
  });
  const save = el("button", { type: "button", text: "CSV", onclick: table.save });
  root.append(words, el("div", { class: "charts" }, heat.root,
    el("div", { class: "stack" }, volume.root, el("section", {}, el("div", { class: "head" }, el("h2", { text: "Edges" }), save), table.root))));
  return {
    update() {
      const edges = usedEdges(store);
      say(words, sentence(store, edges));
      heat.update(edges);
      volume.update(lines(store.rounds, ["bytes"]));
      table.update(edges);
    },
    move: (step) => table.move(step),
    enter: () => table.openSelected(),
  };
}

function sentence(store, edges) {
  const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);
  const nodes = [...store.nodes.values()];
  const sent = sum(nodes.map((node) => node.bytes_sent));
  const dropped = sum(edges.map((edge) => edge[5]));
  return `${bytes(sent)} sent by ${count(nodes.length)} nodes; ${count(sum(edges.map((edge) => edge[4])))} messages over ${count(edges.length)} edges, `
    + `${count(dropped)} dropped${store.gaps ? `; ${count(store.gaps)} events never came, so figures may be low` : ""}.`;
}
