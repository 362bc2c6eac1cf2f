// The last rounds of each node, as this page has seen them: the run itself is not asked again for what it has said.

import { known } from "./format.js";

const KEPT = 500;

export class History {
  constructor() {
    this.byNode = new Map();
  }

  /** Note each node's figures, once a round. */
  note(nodes) {
    for (const [name, node] of nodes) {
      if (!known(node.round)) continue;
      let seen = this.byNode.get(name);
      if (seen === undefined || seen.round.at(-1) > node.round) this.byNode.set(name, (seen = { round: [], loss: [], metric: [] }));
      if (seen.round.at(-1) !== node.round) {
        for (const column of Object.values(seen)) if (column.length >= KEPT) column.splice(0, KEPT / 5);
        seen.round.push(node.round);
        seen.loss.push(null);
        seen.metric.push(null);
      }
      seen.loss[seen.loss.length - 1] = node.loss ?? null;
      seen.metric[seen.metric.length - 1] = node.metric ?? null;
    }
    for (const name of this.byNode.keys()) if (!nodes.has(name)) this.byNode.delete(name);
  }

  of(name) {
    return this.byNode.get(name) ?? { round: [], loss: [], metric: [] };
  }
}
