// Runs over each other: those that the server knows, and records chosen from this machine.

import { makeChart } from "./chart.js";
import { el, say } from "./dom.js";
import { bytes, duration, figure, text } from "./format.js";
import { readRecord } from "./record.js";
import { cumulated, lines } from "./series.js";
import { ask } from "./stream.js";
import { makeTable } from "./table.js";

export const title = "Compare";

const MOST = 6; // lines that look different
const FIGURES = [["Score", "metric", false, figure], ["Loss", "loss", false, figure], ["Consensus distance", "consensus_distance", true, figure],
  ["Bytes so far", "all_bytes", false, bytes], ["Time of a round", "duration_s", false, duration]];
let chosenFiles = []; // stay while the page does

export function open(root, { store }) {
  let others = [];
  const hidden = new Set();
  const words = el("p", { role: "status" });
  const boxes = el("div", { class: "tools" });
  const files = el("input", { type: "file", multiple: true, accept: ".jsonl", hidden: true, onchange: take });
  const choose = el("button", { type: "button", text: "Add round_metrics.jsonl …", onclick: () => files.click() });
  const charts = FIGURES.map(([name, column, log, format]) => [column, log,
    makeChart({ title: name, name: `compare-${column}`, log, format, lines: [], nothing: "None of these runs has it." })]);
  const table = makeTable({
    name: "compare", label: "Runs", keyOf: (run) => run.name, height: "260px",
    columns: [
      { label: "run", value: (run) => run.name, show: (run) => text(run.name, 120) },
      { label: "status", value: (run) => run.outcome.status, show: (run) => text(run.outcome.status ?? "–", 20) },
      ...["mode", "data", "model"].map((key) => ({ label: key, value: (run) => run.outcome[key], show: (run) => text(run.outcome[key] ?? "–", 60) })),
      { label: "rounds", number: true, value: (run) => run.rounds.round?.at(-1), show: (run) => String(run.rounds.round?.at(-1) ?? "–") },
      { label: "score", number: true, value: last("metric"), show: (run) => figure(last("metric")(run)) },
      { label: "loss", number: true, value: last("loss"), show: (run) => figure(last("loss")(run)) },
      { label: "bytes", number: true, value: last("all_bytes"), show: (run) => bytes(last("all_bytes")(run)) },
    ],
  });
  root.append(words, el("div", { class: "tools" }, choose, files), boxes, table.root, el("div", { class: "charts", style: "margin-top:18px" }, ...charts.map(([, , chart]) => chart.root)));

  async function take() {
    for (const file of files.files) {
      try {
        chosenFiles.push(readRecord(file.name, await file.text()));
      } catch (error) {
        say(words, text(`${file.name}: ${error.message}`));
        return;
      }
    }
    files.value = "";
    boxes.replaceChildren();
    update();
  }

  function all() {
    const same = others.find((run) => run.outcome?.run === store.outcome.run);
    const own = { name: same?.name ?? store.outcome.run ?? "this run", outcome: store.outcome, rounds: store.rounds };
    const rest = others.filter((run) => run.outcome?.run !== store.outcome.run);
    const named = new Set();
    return [own, ...rest, ...chosenFiles].map((run, i) => {
      const name = named.has(run.name) ? `${run.name} (${i + 1})` : run.name;
      named.add(name);
      return { outcome: {}, ...run, name, rounds: { ...run.rounds, all_bytes: cumulated(run.rounds?.bytes) } };
    });
  }

  function offer(runs) {
    if (boxes.children.length === runs.length) return;
    boxes.replaceChildren(...runs.map(({ name }) => el("label", { class: "key name" },
      el("input", { type: "checkbox", checked: !hidden.has(name), onchange: (event) => {
        if (event.target.checked) hidden.delete(name);
        else hidden.add(name);
        update();
      } }), text(name, 80))));
  }

  function update() {
    if (!root.contains(words)) return; // another screen is up by now
    const runs = all();
    offer(runs);
    const shown = runs.filter((run) => !hidden.has(run.name)).slice(0, MOST);
    say(words, sentence(runs, shown));
    table.update(runs);
    for (const [column, log, chart] of charts) {
      const tables = shown.map((run) => lines(run.rounds, [column], { log }));
      chart.update(uPlot.join(tables, tables.map((one) => one.slice(1).map(() => 2))), shown.map((run) => ({ label: text(run.name, 60) })));
    }
  }

  ask("runs").then((answer) => { others = answer.runs ?? []; update(); }, () => {});
  return { update };
}

function sentence(runs, shown) {
  if (runs.length === 1) return "There is only this run here: name others when the view is started, or add the record of one from its folder.";
  return runs.filter((run) => run).length > shown.length && shown.length === MOST ? `${runs.length} runs; the first ${MOST} that are chosen are drawn.` : `${runs.length} runs.`;
}

function last(column) {
  return (run) => run.rounds[column]?.findLast((value) => value !== null && value !== undefined) ?? null;
}
