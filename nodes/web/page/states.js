// The states of a node: a word, a sign, and a class for the color; stale is one of them.

import { known } from "./format.js";

const SIGNS = {
  joined: ["·", ""], ready: ["○", ""], training: ["▶", ""], sent: ["↑", ""], exchanging: ["⇄", ""], asking: ["?", ""],
  suspect: ["△", "warn"], lost: ["✕", "bad"], left: ["–", ""], done: ["✓", "good"],
};
const OVER = new Set(["lost", "left", "done"]);

/** Return {word, sign, tone} of a node; of one that has been silent for `staleAfter` seconds, with how it was seen last. */
export function stateOf(node, now, staleAfter) {
  const [sign, tone] = SIGNS[node.state] ?? ["·", ""];
  const word = String(node.state ?? "unknown").slice(0, 40);
  if (isStale(node, now, staleAfter)) return { word: `stale (${word})`, sign: "◌", tone: "warn" };
  return { word, sign, tone };
}

export function isStale(node, now, staleAfter) {
  return !isOver(node) && known(node.last_seen) && now - node.last_seen > staleAfter;
}

export function isOver(node) {
  return OVER.has(node.state);
}
