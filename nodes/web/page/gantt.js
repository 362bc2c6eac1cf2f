// Who did what when: a row a node; training is a full bar, waiting hatched, mixing a full one with an edge. Nobody waits to send.

import { makeDrawing, fit } from "./drawing.js";
import { el, show } from "./dom.js";
import { makeFigure } from "./figure.js";
import { duration, text } from "./format.js";
import { byName } from "./order.js";
import { color } from "./theme.js";

export const KINDS = { train: "trains", wait: "waits", mix: "mixes" };
const ROW = 20;
const HEAD = 22;
const HIGHEST = 560;

/**
 * Return {root, rows(), update()}.
 *
 * `rounds()` says how many of the last rounds are drawn; `only` draws a single node; `order` sorts [name, spans].
 */
export function makeGantt({ store, only = null, rounds = () => 5, order = ([a], [b]) => byName(a, b), open = null }) {
  let rows = [];
  let begin = 0;
  let end = 1;
  const tall = el("div");
  const scroller = el("div", { class: "scroller", tabIndex: 0, "aria-label": "Time of each node" });
  const figure = makeFigure({
    title: only === null ? "Where the time goes" : "Its time", name: "time",
    canvas: () => drawing.canvas, key: () => Object.entries(KINDS),
    rows: () => [["node", "round", "kind", "begin_s", "end_s"], ...rows.flatMap(([name, spans]) => spans.map((span) => [name, ...span]))],
  });
  const drawing = makeDrawing({
    paint, hit, label: "Bars of time, a row for each node", scroller,
    heightOf: () => Math.min(HIGHEST, HEAD + ROW * Math.max(1, rows.length)),
    open: open ? (_, y) => rowAt(y) && open(rowAt(y)[0]) : null,
  });
  scroller.append(tall);
  const keys = legend();
  figure.body.append(scroller, keys.root);
  scroller.addEventListener("scroll", drawing.draw, { passive: true });

  const label = (width) => (only === null ? Math.min(120, width * 0.24) : 6);
  const scale = (width) => (width - label(width) - 8) / Math.max(1e-9, end - begin);
  const rowAt = (y) => (y < HEAD ? undefined : rows[Math.floor((y - HEAD + scroller.scrollTop) / ROW)]);

  function paint(pen, width, height) {
    const left = label(width);
    const perSecond = scale(width);
    const first = Math.floor(scroller.scrollTop / ROW);
    const hatch = hatching(pen);
    for (let i = first; i < rows.length && HEAD + (i - first) * ROW < height; i += 1) {
      const y = HEAD + i * ROW - scroller.scrollTop;
      pen.fillStyle = color("ink");
      if (only === null) pen.fillText(fit(pen, text(rows[i][0], 60), left - 8), 4, y + ROW / 2);
      for (const [, kind, from, to] of rows[i][1]) {
        bar(pen, kind, left + Math.max(0, from - begin) * perSecond, y, Math.max(1, (to - Math.max(from, begin)) * perSecond), hatch);
      }
    }
    axis(pen, left, width, perSecond);
  }

  function axis(pen, left, width, perSecond) {
    pen.fillStyle = color("paper");
    pen.fillRect(0, 0, width, HEAD);
    pen.fillStyle = color("quiet");
    const step = nice((end - begin) / Math.max(2, (width - left) / 90));
    for (let at = Math.ceil(begin / step) * step; at <= end; at += step) {
      const x = left + (at - begin) * perSecond;
      pen.fillRect(x, HEAD - 4, 1, 4);
      if (x < width - 40) pen.fillText(`${Number(at.toPrecision(6))} s`, x + 3, HEAD / 2);
    }
  }

  function hit(x, y) {
    const row = rowAt(y);
    if (!row) return "";
    const width = scroller.clientWidth;
    const at = begin + (x - label(width)) / scale(width);
    const near = 2 / scale(width);
    const span = row[1].find(([, , from, to]) => at >= from - near && at <= to + near);
    const name = text(row[0], 80);
    return span ? `${name}, round ${span[0]}: ${KINDS[span[1]] ?? text(span[1], 20)} ${duration(span[3] - span[2])}` : name;
  }

  return {
    root: figure.root,
    rows: () => rows,
    update() {
      rows = recent(store, only, rounds()).sort(order);
      const all = rows.flatMap(([, spans]) => spans);
      begin = all.reduce((least, span) => Math.min(least, span[2]), Infinity);
      end = all.reduce((most, span) => Math.max(most, span[3]), -Infinity);
      figure.empty(all.length ? "" : "No round has been timed yet.");
      tall.style.height = `${Math.max(0, HEAD + rows.length * ROW - Math.min(HIGHEST, HEAD + rows.length * ROW))}px`;
      scroller.style.height = `${Math.min(HIGHEST, HEAD + ROW * rows.length) + 2}px`;
      keys.update(new Set(all.map((span) => span[1])));
      if (all.length) drawing.draw();
    },
  };
}

/** Return [name, spans] of the last `rounds` rounds. */
function recent(store, only, rounds) {
  const named = only === null ? [...store.spans] : [[only, store.spans.get(only) ?? []]];
  const newest = named.reduce((most, [, spans]) => Math.max(most, spans.at(-1)?.[0] ?? 0), 0);
  return named.map(([name, spans]) => [name, spans.filter((span) => span[0] > newest - rounds)]);
}

function bar(pen, kind, x, y, width, hatch) {
  const [top, high] = [3, ROW - 6];
  pen.fillStyle = color(kind === "wait" ? "paper" : KINDS[kind] ? kind : "quiet");
  pen.fillRect(x, y + top, width, high);
  if (kind === "wait") {
    pen.fillStyle = hatch;
    pen.fillRect(x, y + top, width, high);
  }
  if (kind !== "mix" && kind !== "wait") return;
  pen.strokeStyle = color(kind === "mix" ? "ink" : "wait");
  pen.lineWidth = 1;
  if (width > 2) pen.strokeRect(x + 0.5, y + top + 0.5, width - 1, high - 1);
}

function hatching(pen) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const stroke = tile.getContext("2d");
  stroke.strokeStyle = color("wait");
  stroke.lineWidth = 1.6;
  stroke.beginPath();
  for (const shift of [-6, 0, 6]) {
    stroke.moveTo(shift, 6);
    stroke.lineTo(shift + 6, 0);
  }
  stroke.stroke();
  return pen.createPattern(tile, "repeat");
}

function nice(step) {
  const power = 10 ** Math.floor(Math.log10(Math.max(step, 1e-9)));
  return power * [1, 2, 5, 10].find((times) => times * power >= step);
}

/** Return the key of the bars, as they are drawn: of those kinds that there are. */
function legend() {
  const parts = Object.entries(KINDS).map(([kind, word]) => {
    const sample = makeDrawing({
      label: word, heightOf: () => ROW, scroller: Object.assign(el("span"), { style: "display:inline-block;width:26px" }),
      paint: (pen, width) => bar(pen, kind, 1, 0, width - 2, hatching(pen)),
    });
    return [kind, el("span", { class: "key" }, sample.root, word)];
  });
  return {
    root: el("figcaption", {}, ...parts.map(([, part]) => part), "What a node did not tell is left empty."),
    update: (kinds) => parts.forEach(([kind, part]) => show(part, kinds.has(kind))),
  };
}
