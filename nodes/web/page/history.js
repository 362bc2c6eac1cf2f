// The rounds of each node: what this page has seen, and of a node that is opened what the run remembers of it.

import { known } from "./format.js";

const MOST = 1000; // rounds of a node; beyond, of the older half every second one goes

export class History {
  constructor() {
    this.byNode = new Map();
  }

  /** Note each node's figures, once a round. */
  note(nodes) {
    for (const [name, node] of nodes) {
      if (!known(node.round)) continue;
      let seen = this.byNode.get(name);
      if (seen === undefined || seen.round.at(-1) > node.round) this.byNode.set(name, (seen = empty()));
      if (seen.round.at(-1) !== node.round) {
        if (seen.round.length >= MOST) thin(seen);
        seen.round.push(node.round);
        seen.loss.push(null);
        seen.metric.push(null);
      }
      seen.loss[seen.loss.length - 1] = node.loss ?? null;
      seen.metric[seen.metric.length - 1] = node.metric ?? null;
    }
    for (const name of this.byNode.keys()) if (!nodes.has(name)) this.byNode.delete(name);
  }

  /** Put the rounds before the first that this page has seen in front of it. */
  begin(name, columns) {
    const seen = this.byNode.get(name) ?? empty();
    const before = columns.round.findIndex((round) => round >= (seen.round[0] ?? Infinity));
    const many = before < 0 ? columns.round.length : before;
    for (const column of Object.keys(seen)) seen[column] = [...columns[column].slice(0, many), ...seen[column]];
    this.byNode.set(name, seen);
  }

  of(name) {
    return this.byNode.get(name) ?? empty();
  }
}

function empty() {
  return { round: [], loss: [], metric: [] };
}

function thin(seen) {
  for (const name of Object.keys(seen)) seen[name] = seen[name].filter((_, i) => i >= MOST / 2 || i % 2 === 1);
}
