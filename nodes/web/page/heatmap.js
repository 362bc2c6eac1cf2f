// Bytes from each node (rows) to each node (columns); the darker, the more, by powers of ten; a cross where messages were dropped.

import { makeDrawing, fit } from "./drawing.js";
import { el, say } from "./dom.js";
import { makeFigure } from "./figure.js";
import { bytes, count, text } from "./format.js";
import { byName } from "./order.js";
import { color } from "./theme.js";

const NAMED = 40;

export function makeHeatMap(store) {
  let names = [];
  let cells = new Map();
  let [least, most] = [1, 1];
  const figure = makeFigure({
    title: "Bytes by edge", name: "bytes-by-edge", canvas: () => drawing.canvas,
    key: () => [["heat0", bytes(least)], ["heat1", bytes(most)]],
    rows: () => [["from", "to", "state", "bytes", "messages", "dropped", "round"], ...store.edges.values()],
  });
  const drawing = makeDrawing({
    paint, heightOf: (width) => Math.min(640, width), hit, label: "Heat map of the bytes that went from node to node",
  });
  const scale = el("span");
  figure.body.append(drawing.root, el("figcaption", {}, ramp().root, scale));

  const margin = (width) => (names.length > NAMED ? 4 : Math.min(96, width * 0.25));
  const size = (width) => (Math.min(640, width) - margin(width)) / Math.max(1, names.length);

  function paint(pen, width, height) {
    const left = margin(width);
    const cell = size(width);
    pen.fillStyle = color("shade");
    pen.fillRect(left, left, cell * names.length, cell * names.length);
    const shades = Array.from({ length: 65 }, (_, i) => mixed(color("heat0"), color("heat1"), i / 64));
    const gap = cell > 6 ? 1 : 0;
    for (const [place, edge] of cells) {
      const [row, column] = [Math.floor(place / names.length), place % names.length];
      const [x, y] = [left + column * cell, left + row * cell];
      pen.fillStyle = shades[Math.round(64 * depth(edge[3]))];
      pen.fillRect(x, y, Math.max(1, cell - gap), Math.max(1, cell - gap));
      if (edge[5] > 0) cross(pen, x, y, cell);
    }
    if (names.length > NAMED) return;
    pen.fillStyle = color("ink");
    names.forEach((name, i) => {
      const words = fit(pen, text(name, 40), left - 8);
      pen.textAlign = "right";
      pen.fillText(words, left - 5, left + (i + 0.5) * cell);
      pen.save();
      pen.translate(left + (i + 0.5) * cell, left - 5);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(words, 0, 0);
      pen.restore();
    });
    pen.textAlign = "left";
  }

  function depth(value) {
    if (!(value > 0) || most <= least) return value > 0 ? 1 : 0;
    return Math.max(0, Math.min(1, Math.log(value / least) / Math.log(most / least)));
  }

  function cross(pen, x, y, cell) {
    pen.strokeStyle = color("bad");
    pen.lineWidth = Math.min(2, Math.max(1, cell / 6));
    pen.beginPath();
    pen.moveTo(x + 1, y + 1);
    pen.lineTo(x + cell - 2, y + cell - 2);
    pen.moveTo(x + cell - 2, y + 1);
    pen.lineTo(x + 1, y + cell - 2);
    pen.stroke();
  }

  function hit(x, y) {
    const width = drawing.root.clientWidth;
    const [column, row] = [x, y].map((value) => Math.floor((value - margin(width)) / size(width)));
    if (column < 0 || row < 0 || column >= names.length || row >= names.length) return "";
    const edge = cells.get(row * names.length + column);
    const way = `${text(names[row], 60)} → ${text(names[column], 60)}`;
    return edge ? `${way}\n${bytes(edge[3])}, ${count(edge[4])} messages, ${count(edge[5])} dropped` : `${way}: nothing`;
  }

  return {
    root: figure.root,
    update(edges) {
      names = [...new Set(edges.flatMap((edge) => [edge[0], edge[1]]))].sort(byName);
      const at = new Map(names.map((name, i) => [name, i]));
      cells = new Map(edges.map((edge) => [at.get(edge[0]) * names.length + at.get(edge[1]), edge]));
      const sizes = edges.map((edge) => edge[3]).filter((value) => value > 0);
      most = sizes.reduce((a, b) => Math.max(a, b), 0);
      least = sizes.reduce((a, b) => Math.min(a, b), most / 10); // small differences are to look small
      figure.empty(edges.length ? "" : "Nothing has gone over an edge yet.");
      say(scale, sizes.length ? `${bytes(least)} to ${bytes(most)}, by powers of ten. Rows send, columns receive; × marks dropped messages.` : "");
      if (edges.length) drawing.draw();
    },
  };
}

/** Return the color between two of the form #rrggbb. */
function mixed(from, to, part) {
  const channel = (paint, i) => parseInt(paint.slice(1 + 2 * i, 3 + 2 * i), 16);
  return `rgb(${[0, 1, 2].map((i) => Math.round(channel(from, i) + (channel(to, i) - channel(from, i)) * part)).join(" ")})`;
}

function ramp() {
  return makeDrawing({
    label: "from little to much", heightOf: () => 12, scroller: Object.assign(el("span", { class: "key" }), { style: "width:90px" }),
    paint(pen, width, height) {
      const run = pen.createLinearGradient(0, 0, width, 0);
      run.addColorStop(0, color("heat0"));
      run.addColorStop(1, color("heat1"));
      pen.fillStyle = run;
      pen.fillRect(0, 0, width, height);
    },
  });
}
