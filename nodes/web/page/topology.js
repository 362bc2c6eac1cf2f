// The graph of a run: nodes on a circle, edges in use, late and cut.

import { makeDrawing, fit } from "./drawing.js";
import { el } from "./dom.js";
import { makeFigure } from "./figure.js";
import { bytes, text } from "./format.js";
import { byName } from "./order.js";
import { stateOf } from "./states.js";
import { color } from "./theme.js";

// State of an edge: paint, dash, width; the worst is drawn last.
const EDGES = { idle: ["rule", [], 1], use: ["train", [], 1.2], late: ["wait", [7, 4], 1.8], cut: ["bad", [2, 4], 1.8] };
const ORDER = Object.keys(EDGES);
export const WORDS = { idle: "idle", use: "in use", late: "late", cut: "cut" };
const DRAWN = { idle: "idle (faint)", use: "in use", late: "late (dashes)", cut: "cut (dots and a cross)" };
const BEND = 0.72; // how far the edges of many nodes bend to the center: straight ones between neighbors would hide behind them
const NAMED = 40; // up to so many nodes bear their names

export function makeTopology(store, open) {
  let places = new Map();
  let edges = [];
  const figure = makeFigure({
    title: "Topology", name: "topology", canvas: () => drawing.canvas, key: () => ORDER.map((state) => [EDGES[state][0], DRAWN[state]]),
    rows: () => [["a", "b", "state", "bytes"], ...edges.map((edge) => [edge.a, edge.b, edge.state, edge.size])],
  });
  const drawing = makeDrawing({
    paint, heightOf: (width) => Math.min(520, width), label: "Graph of the nodes and their edges",
    hit: (x, y) => describe(nearest(x, y)), open: (x, y) => nearest(x, y) && open(nearest(x, y)),
  });
  figure.body.append(drawing.root, el("figcaption", { text: `Edges: ${ORDER.map((state) => DRAWN[state]).join(", ")}. A lost node is a cross, a suspect or stale one hollow.` }));

  function nearest(x, y) {
    let best = null;
    let least = 14 ** 2;
    for (const [name, [px, py]] of places) {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) [best, least] = [name, far];
    }
    return best;
  }

  function describe(name) {
    if (name === null) return "";
    const { word } = stateOf(store.nodes.get(name) ?? {}, store.now ?? 0, store.stale_after_s);
    const mine = edges.filter((edge) => edge.a === name || edge.b === name);
    return `${text(name, 80)}: ${word}\n${mine.length} edges, ${bytes(mine.reduce((sum, edge) => sum + (edge.size ?? 0), 0))}`;
  }

  function paint(pen, width, height) {
    const named = store.nodes.size <= NAMED;
    const radius = Math.min(width / 2 - (named ? 62 : 12), height / 2 - 16);
    places = circle([...store.nodes], width, height, Math.max(20, radius));
    for (const edge of edges) drawEdge(pen, edge, places, named ? 1 : BEND, [width / 2, height / 2]);
    pen.setLineDash([]);
    for (const [name, at] of places) drawNode(pen, name, at, width);
  }

  function drawNode(pen, name, [x, y], width) {
    const node = store.nodes.get(name) ?? {};
    const few = places.size <= NAMED;
    const size = few ? 7 : 3.5;
    const { tone } = stateOf(node, store.now ?? 0, store.stale_after_s);
    dot(pen, x, y, size, node.state === "lost" ? "cross" : tone === "warn" ? "hollow" : "full",
      color(node.state === "lost" ? "bad" : tone === "warn" ? "wait" : "ink"));
    if (!few) return;
    const right = x >= width / 2;
    pen.fillStyle = color("ink");
    pen.textAlign = right ? "left" : "right";
    const words = fit(pen, text(name, 40), right ? width - x - 14 : x - 14);
    pen.strokeStyle = color("paper"); // a rim keeps it readable over an edge
    pen.lineWidth = 4;
    pen.strokeText(words, x + (right ? 12 : -12), y);
    pen.fillText(words, x + (right ? 12 : -12), y);
    pen.textAlign = "left";
  }

  return {
    root: figure.root,
    update() {
      edges = edgesOf(store);
      figure.empty(store.nodes.size ? "" : "No node has joined yet.");
      if (store.nodes.size) drawing.draw();
    },
  };
}

/** Return the directed edges over which something has gone, or should have: most pairs only met before the first round. */
export function usedEdges(store) {
  return [...store.edges.values()].filter(([a, b, state, size, messages, , round]) => a !== b && (state === "late" || size || messages || round));
}

/** Return edges without direction, {a, b, state, size}, the worse of both states each, the worst last. */
export function edgesOf(store) {
  const found = new Map();
  for (const [a, b, state, size] of usedEdges(store)) {
    const key = JSON.stringify(a < b ? [a, b] : [b, a]);
    const there = found.get(key) ?? { a, b, state, size: 0 };
    there.size += size ?? 0;
    if (ORDER.indexOf(state) > ORDER.indexOf(there.state)) there.state = state;
    found.set(key, there);
  }
  return [...found.values()].sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state));
}

/** Return where each node stands: in the order of names on a circle, a coordinator in its center. */
function circle(nodes, width, height, radius) {
  const center = [width / 2, height / 2];
  const round = nodes.filter(([, node]) => node.role !== "coordinator").map(([name]) => name).sort(byName);
  const places = new Map(nodes.filter(([, node]) => node.role === "coordinator").map(([name]) => [name, center]));
  round.forEach((name, i) => {
    const angle = (2 * Math.PI * i) / round.length - Math.PI / 2;
    places.set(name, [center[0] + radius * Math.cos(angle), center[1] + radius * Math.sin(angle)]);
  });
  return places;
}

function drawEdge(pen, { a, b, state }, places, bend, center) {
  const [from, to] = [places.get(a), places.get(b)];
  if (!from || !to) return;
  const [paint, dash, wide] = EDGES[state] ?? EDGES.idle;
  pen.strokeStyle = color(paint);
  pen.lineWidth = places.size > NAMED ? wide * 0.7 : wide;
  pen.setLineDash(dash);
  pen.beginPath();
  const pull = [0, 1].map((k) => center[k] + bend * ((from[k] + to[k]) / 2 - center[k]));
  pen.moveTo(...from);
  pen.quadraticCurveTo(...pull, ...to);
  pen.stroke();
  const middle = [0, 1].map((k) => (from[k] + to[k]) / 4 + pull[k] / 2);
  if (state === "cut") dot(pen, ...middle, bend < 1 ? 2.5 : 4, "cross", color("bad"));
}

/** Draw a mark of a shape: full, hollow, cross, square, triangle. */
export function dot(pen, x, y, size, shape, paint) {
  pen.setLineDash([]);
  pen.strokeStyle = pen.fillStyle = paint;
  pen.lineWidth = 2;
  pen.beginPath();
  if (shape === "cross") {
    for (const way of [1, -1]) {
      pen.moveTo(x - size, y - way * size);
      pen.lineTo(x + size, y + way * size);
    }
  } else if (shape === "square") pen.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
  else if (shape === "triangle") {
    pen.moveTo(x, y - size * 1.2);
    pen.lineTo(x + size * 1.1, y + size * 0.8);
    pen.lineTo(x - size * 1.1, y + size * 0.8);
    pen.closePath();
  } else pen.arc(x, y, size, 0, 2 * Math.PI);
  if (shape === "cross" || shape === "hollow") pen.stroke();
  else pen.fill();
}
