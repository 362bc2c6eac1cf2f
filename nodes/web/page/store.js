// What is known of the run: a whole state, and what changed since. Pure: no clock, no document, no network.

const FEED = 500; // lines that are kept
const COLUMNS = ["round", "metric", "worst", "best", "loss", "train_loss", "consensus_distance", "bytes", "duration_s",
  "closed_by", "participants"];
const WHOLE = ["v", "now", "live", "source", "stale_after_s", "span_limit", "replay", "outcome", "waiting", "groups", "outliers",
  "gaps", "malformed", "browsers", "edges_left_out", "behind_s"];

export class Store {
  constructor() {
    this.changes = 0; // how often anything has changed: who draws compares it
    this.#clear();
  }

  /** Take a whole state in place of all that was known. */
  replace(state) {
    this.#clear();
    this.#take(state);
  }

  /** Take what changed; false if something was missed, and a whole state is needed. */
  merge(delta) {
    if (this.v === null || delta.v !== this.v + 1) return false;
    this.#take(delta);
    return true;
  }

  get finished() {
    return ["completed", "failed", "interrupted"].includes(this.outcome.status);
  }

  #clear() {
    this.v = null;
    this.now = null;
    this.live = true;
    this.source = "";
    this.stale_after_s = 5;
    this.span_limit = 400;
    this.replay = null;
    this.outcome = {};
    this.waiting = [];
    this.groups = [];
    this.outliers = [];
    this.gaps = 0;
    this.malformed = 0;
    this.browsers = {};
    this.edges_left_out = 0;
    this.behind_s = 0;
    this.nodes = new Map(); // Maps, since a node may be called __proto__
    this.projection = new Map();
    this.mass = new Map();
    this.spans = new Map();
    this.edges = new Map();
    this.feed = [];
    this.rounds = Object.fromEntries(COLUMNS.map((name) => [name, []]));
  }

  #take(part) {
    for (const name of WHOLE) if (part[name] !== undefined) this[name] = part[name] ?? this[name];
    for (const name of ["projection", "mass"]) if (part[name]) this[name] = new Map(Object.entries(part[name]));
    for (const [name, fields] of Object.entries(part.nodes ?? {})) this.nodes.set(name, { ...this.nodes.get(name), ...fields });
    for (const name of part.nodes_gone ?? []) this.nodes.delete(name);
    for (const [name, spans] of Object.entries(part.spans ?? {})) {
      this.spans.set(name, [...(this.spans.get(name) ?? []), ...spans].slice(-this.span_limit));
    }
    for (const edge of part.edges ?? []) this.edges.set(JSON.stringify([edge[0], edge[1]]), edge);
    if (part.feed?.length) this.feed = [...this.feed, ...part.feed].slice(-FEED);
    if (part.rounds?.round) part.rounds.round.forEach((round, i) => this.#row(round, i, part.rounds));
    this.changes += 1;
  }

  /** A row of a round that is there takes its place; that of a lower one is put in where it belongs. */
  #row(round, i, columns) {
    let place = this.rounds.round.length;
    while (place > 0 && this.rounds.round[place - 1] >= round) place -= 1;
    const replaced = this.rounds.round[place] === round ? 1 : 0;
    for (const name of COLUMNS) {
      const column = this.rounds[name];
      if (place === column.length) column.push(columns[name]?.[i] ?? null);
      else column.splice(place, replaced, columns[name]?.[i] ?? null);
    }
  }
}
