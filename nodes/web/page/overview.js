// The first screen: how far the run is, how good, whom it waits for, and what has happened.

import { makeChart } from "./chart.js";
import { el, say } from "./dom.js";
import { makeFeed } from "./feed.js";
import { bytes, count, duration, figure, known, names, text } from "./format.js";
import { lines } from "./series.js";
import { isStale } from "./states.js";

export const title = "Overview";

const BAND = [{ label: "best", paint: "l0", dash: [2, 3], thin: true }, { label: "worst", paint: "l0", dash: [8, 4], thin: true }];
const own = (metric) => ({ label: metric, paint: "l0", dash: [] });

export function open(root, { store, now }) {
  const metric = store.outcome.metric_name ?? "accuracy";
  const scores = makeChart({
    title: "Score", name: "score", band: [1, 2], nothing: "No model has been measured yet.",
    lines: [own(metric)],
  });
  const losses = makeChart({
    title: "Loss", name: "loss", nothing: "No loss has been measured yet.",
    lines: [{ label: "test loss", paint: "l1", dash: [] }, { label: "training loss", paint: "l2", dash: [8, 4] }],
  });
  const feed = makeFeed(store);
  const tiles = makeTiles(7);
  root.append(tiles.root, el("div", { class: "two" }, el("div", { class: "stack" }, scores.root, losses.root), feed.root));

  return {
    update() {
      const { outcome, rounds, nodes } = store;
      tiles.update(facts(store, now()));
      const name = outcome.metric_name ?? "accuracy";
      const banded = rounds.worst.some(known);
      scores.update(lines(rounds, banded ? ["metric", "best", "worst"] : ["metric"]), banded ? [own(name), ...BAND] : [own(name)]);
      const rows = outcome.evaluated_on === "holdout" ? "rows that sites keep apart" : "the test set";
      scores.caption(`On ${rows}${banded ? "; the band is from the worst site to the best" : ""}. ${extremes(nodes)}`);
      losses.update(lines(rounds, ["loss", "train_loss"]));
      feed.update();
    },
  };
}

function facts({ outcome, nodes, gaps, stale_after_s }, now) {
  const trained = [...nodes.values()].filter((node) => node.role !== "coordinator");
  const lost = trained.filter((node) => node.state === "lost").length;
  const stale = trained.filter((node) => isStale(node, now, stale_after_s)).length;
  const sent = [...nodes.values()].reduce((sum, node) => sum + (node.bytes_sent ?? 0), 0);
  const troubles = [lost && `${lost} lost`, stale && `${stale} stale`].filter(Boolean).join(", ");
  const took = known(outcome.started) && known(outcome.ended) ? outcome.ended - outcome.started : null;
  return [
    ["round", `${count(outcome.round)} of ${outcome.rounds ? count(outcome.rounds) : "?"}`],
    took === null ? ["time left", duration(outcome.eta_s)] : ["took", duration(took)],
    [text(outcome.metric_name ?? "score", 30), figure(outcome.metric)],
    ["worst to best", known(outcome.worst) ? `${figure(outcome.worst)} – ${figure(outcome.best)}` : "–"],
    ["nodes", `${count(trained.length)}${troubles ? ` (${troubles})` : ""}`],
    ["sent", bytes(sent)],
    ["missed events", count(gaps)],
  ];
}

function makeTiles(many) {
  const tiles = Array.from({ length: many }, () => [el("dt"), el("dd")]);
  const root = el("dl", { class: "tiles" }, ...tiles.map((pair) => el("div", {}, ...pair)));
  return { root, update: (facts) => facts.forEach((words, i) => words.forEach((word, k) => say(tiles[i][k], word))) };
}

/** Return who is worst and who is best, in words. */
function extremes(nodes) {
  const scored = [...nodes].filter(([, node]) => known(node.metric) && node.role !== "coordinator" && node.state !== "lost");
  if (scored.length < 2) return "";
  scored.sort(([, a], [, b]) => a.metric - b.metric);
  const one = ([name, node]) => `${names([text(name, 60)])} (${figure(node.metric)})`;
  return `Now worst: ${one(scored[0])}; best: ${one(scored.at(-1))}.`;
}
