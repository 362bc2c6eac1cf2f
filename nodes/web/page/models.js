// The models of the peers as points: near ones are alike; groups differ in color and shape, outliers are crosses.

import { makeDrawing } from "./drawing.js";
import { el } from "./dom.js";
import { makeFigure } from "./figure.js";
import { figure as number, known, names, text } from "./format.js";
import { color } from "./theme.js";
import { dot } from "./topology.js";

const LOOKS = [["l0", "full"], ["l1", "square"], ["l2", "triangle"], ["l3", "hollow"], ["l4", "square"], ["l5", "triangle"]];
const OTHERS = { outlier: ["bad", "cross"], lost: ["quiet", "cross"] };
const MARGIN = 14;
const MANY = 50;

export function makeModels(store, open) {
  let places = new Map();
  let frame = frameOf([]);
  const figure = makeFigure({
    title: "Models", name: "models", canvas: () => drawing.canvas,
    rows: () => [["node", "x", "y", "group"], ...[...store.projection].map(([name, [x, y]]) => [name, x, y, groupOf(store, name)])],
  });
  const drawing = makeDrawing({
    paint, heightOf: (width) => Math.min(520, width), label: "Models of the peers, projected onto a plane",
    hit: (x, y) => describe(nearest(x, y)), open: (x, y) => nearest(x, y) && open(nearest(x, y)),
  });
  const caption = el("figcaption", { class: "name" });
  figure.body.append(drawing.root, caption);

  function nearest(x, y) {
    return [...places].find(([, [px, py]]) => (px - x) ** 2 + (py - y) ** 2 < 144)?.[0] ?? null;
  }

  function describe(name) {
    if (name === null) return "";
    const group = groupOf(store, name);
    return `${text(name, 80)}: ${{ outlier: "far from all others", lost: "lost; as it was last" }[group] ?? `group ${group}`}`;
  }

  function paint(pen, width, height) {
    places = placed(good(store.projection), frame, width, height);
    pen.strokeStyle = color("rule");
    pen.strokeRect(0.5, 0.5, width - 1, height - 1);
    const written = []; // where words stand already: no other is put over them
    for (const [name, [x, y]] of places) {
      const group = groupOf(store, name);
      const [tint, shape] = OTHERS[group] ?? LOOKS[(group - 1) % LOOKS.length];
      dot(pen, x, y, places.size > 60 ? 4 : 6, shape, color(tint));
      const right = x > width * 0.7;
      if (places.size > 12 || written.some(([px, py, side]) => side === right && Math.abs(px - x) < 60 && Math.abs(py - y) < 14)) continue;
      written.push([x, y, right]);
      pen.fillStyle = color("ink");
      pen.textAlign = right ? "right" : "left";
      pen.fillText(text(name, 24), x + (right ? -10 : 10), y);
      pen.textAlign = "left";
    }
  }

  return {
    root: figure.root,
    update() {
      figure.empty(store.projection.size ? "" : "Peers tell where their models stand when they measure them; clients do not.");
      const far = store.outliers.length ? ` Crosses: ${names(store.outliers, 6)}.` : "";
      const living = good(store.projection).filter(([name]) => groupOf(store, name) !== "lost");
      frame = frameOf(living.map(([, point]) => point));
      caption.textContent = `Two directions in which the models differ most; most lie within ${number(frame.span)}, in the unit of the weights; who is farther stands at the edge. Nearby means alike.${far}`;
      if (store.projection.size) drawing.draw();
    },
  };
}

function groupOf(store, name) {
  if (store.nodes.get(name)?.state === "lost") return "lost";
  if (store.outliers.includes(name)) return "outlier";
  return Math.max(0, store.groups.findIndex((group) => group.includes(name))) + 1;
}

/** Return the middle and the width, the same both ways, of the frame; of many points the outermost do not stretch it. */
function frameOf(points) {
  const ends = [0, 1].map((k) => {
    const sorted = points.map((point) => point[k]).sort((a, b) => a - b);
    const cut = sorted.length < MANY ? 0 : Math.floor(sorted.length * 0.02);
    return [sorted[cut] ?? 0, sorted.at(-1 - cut) ?? 0];
  });
  return { middle: ends.map(([low, high]) => (low + high) / 2), span: Math.max(...ends.map(([low, high]) => high - low)) || 1 };
}

function good(projection) {
  return [...projection].filter(([, [x, y]]) => known(x) && known(y));
}

/** Return the points on the canvas; those beyond the frame stand at its edge. */
function placed(points, frame, width, height) {
  const scale = (Math.min(width, height) - 4 * MARGIN) / frame.span;
  const within = (value, most) => Math.max(8, Math.min(most - 8, value));
  return new Map(points.map(([name, [x, y]]) => [name,
    [within(width / 2 + (x - frame.middle[0]) * scale, width), within(height / 2 - (y - frame.middle[1]) * scale, height)]]));
}
