// Who exchanges with whom, how far apart the models are, and who stands aside.

import { makeChart } from "./chart.js";
import { el, say, show } from "./dom.js";
import { figure, names } from "./format.js";
import { makeMass } from "./mass.js";
import { makeModels } from "./models.js";
import { lines } from "./series.js";
import { edgesOf, makeTopology } from "./topology.js";

export const title = "Graph";

export function open(root, { store, go }) {
  const toNode = (name) => go(`nodes/${encodeURIComponent(name)}`);
  const words = el("p", { role: "status", class: "name" });
  const topology = makeTopology(store, toNode);
  const models = makeModels(store, toNode);
  const distance = makeChart({
    title: "Consensus distance", name: "consensus-distance", log: true, format: figure,
    nothing: "How far the models are apart is known of peers that mix.",
    lines: [{ label: "distance of the models from their mean", paint: "l2", dash: [] }],
  });
  const mass = makeMass(store, toNode);
  root.append(words, el("div", { class: "charts" }, topology.root, models.root, distance.root, mass.root));
  return {
    update() {
      say(words, sentence(store));
      const federated = store.outcome.mode === "federated"; // only peers tell how far their models are apart
      show(models.root, !federated);
      show(distance.root, !federated);
      show(mass.root, store.mass.size > 0);
      topology.update();
      models.update();
      distance.update(lines(store.rounds, ["consensus_distance"], { log: true }));
      mass.update();
    },
  };
}

function sentence(store) {
  const edges = edgesOf(store);
  const of = (state) => edges.filter((edge) => edge.state === state).length;
  const ways = [["use", "in use"], ["late", "late"], ["cut", "cut"], ["idle", "idle"]].filter(([state]) => of(state))
    .map(([state, word]) => `${of(state)} ${word}`);
  const edgeWords = edges.length ? `${edges.length} edges: ${ways.join(", ")}.` : "";
  const groups = store.groups.length > 1 ? ` The models form ${store.groups.length} groups.` : store.groups.length ? " The models are one group." : "";
  const out = store.outliers.length ? ` Far from all others: ${names(store.outliers, 6)}.` : "";
  const cut = store.edges_left_out ? ` ${store.edges_left_out} edges are left out.` : "";
  return `${edgeWords}${groups}${out}${cut}`;
}
