// A run's round_metrics.jsonl, as columns of the record.

import { known } from "./format.js";

const NAMES = { metric: ["accuracy", "r2"], worst: ["accuracy_min", "r2_min"], best: ["accuracy_max", "r2_max"], loss: ["loss"],
  train_loss: ["train_loss"], consensus_distance: ["consensus_distance"], duration_s: ["duration_s"] };
const LARGEST = 200e6;

/** Return {name, outcome, rounds}; raises where the text is no such record. */
export function readRecord(name, text) {
  if (text.length > LARGEST) throw new Error("is larger than 200 MB");
  const rounds = Object.fromEntries(["round", "bytes", ...Object.keys(NAMES)].map((column) => [column, []]));
  text.split("\n").forEach((line, i) => {
    if (!line.trim()) return;
    const row = parsed(line, i + 1);
    rounds.round.push(row.round);
    rounds.bytes.push(known(row.bytes_sent) ? row.bytes_sent + (known(row.peers) ? 0 : row.bytes_received ?? 0) : null);
    for (const [column, keys] of Object.entries(NAMES)) rounds[column].push(keys.map((key) => row[key]).find(known) ?? null);
  });
  if (!rounds.round.length) throw new Error("has no rounds");
  return { name, outcome: { status: "recorded" }, rounds };
}

function parsed(line, number) {
  let row = null;
  try {
    row = JSON.parse(line);
  } catch { /* said below, with the line's number */ }
  if (!row || !known(row.round)) throw new Error(`line ${number} is no round; a round_metrics.jsonl of a run folder is wanted`);
  return row;
}
