// A chart of lines over rounds, drawn by uPlot.

import { makeFigure } from "./figure.js";
import { figure as plain, known } from "./format.js";
import { onLeave } from "./lifetime.js";
import { anything } from "./series.js";
import { color, onTheme } from "./theme.js";

const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 2], [14, 4]]; // lines differ by these, too
const WHOLE_STEPS = [1, 2, 5].flatMap((step, i, all) => [...Array(12).keys()].map((power) => all[i] * 10 ** power)).sort((a, b) => a - b);

/**
 * Return {root, update(columns, labels), caption(text)}.
 *
 * `lines` are [{label, paint, dash}], `band` fills between two of them, [upper, lower], counted from 0.
 */
export function makeChart({ title, name, lines, band = null, log = false, format = plain, axis = "round", nothing = "", height = 230 }) {
  let plot = null;
  let columns = [];
  let drawn = lines;
  const frame = makeFigure({
    title,
    name,
    canvas: () => plot?.ctx.canvas,
    key: () => drawn.map((line, i) => [paintOf(line, i), line.label]),
    rows: () => [[axis, ...drawn.map((line) => line.label)],
      ...columns[0].map((x, i) => columns.map((column) => column[i])).filter((row) => row.slice(1).some((value) => value !== null))],
  });

  function create() {
    plot?.destroy();
    const quiet = { stroke: color("quiet"), grid: { stroke: color("rule"), width: 1 }, ticks: { stroke: color("rule"), width: 1 } };
    plot = new uPlot({
      width: Math.max(200, frame.body.clientWidth),
      height,
      legend: { markers: { width: 2, dash: (_, i) => ({ 0: "solid", 8: "dashed", 2: "dotted" })[dashOf(drawn[i - 1], i - 1)[0] ?? 0] ?? "double" } },
      cursor: { sync: { key: axis }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: log ? { distr: 3, log: 10 } : {} },
      axes: [
        { ...quiet, size: 34, space: 60, incrs: WHOLE_STEPS },
        { ...quiet, size: 62, values: (_, splits) => splits.map((value) => (value === null ? "" : format(value))) },
      ],
      series: [
        { label: axis, value: (_, value, of, at) => String((at === null || at === undefined ? columns[0].at(-1) : value) ?? "–") },
        ...drawn.map((line, i) => ({
          label: line.label,
          stroke: color(paintOf(line, i)),
          width: line.thin ? 1 : 2,
          dash: dashOf(line, i),
          points: { show: columns[0].length < 3, size: 6 },
          value: (_, value, of, at) => shownValue(at === null || at === undefined ? columns[of].findLast(known) : value, format),
        })),
      ],
      bands: band && drawn.length > band[1] ? [{ series: band.map((i) => i + 1), fill: `${color("l0")}30` }] : [],
    }, columns, frame.body);
  }

  const watcher = new ResizeObserver(() => {
    const width = frame.body.clientWidth;
    if (plot && width > 0 && width !== plot.width) plot.setSize({ width, height });
  });
  watcher.observe(frame.body);
  const stopTheme = onTheme(() => plot && create());
  onLeave(() => {
    watcher.disconnect();
    stopTheme();
    plot?.destroy();
  });

  return {
    root: frame.root,
    caption: frame.caption,
    /** Draw other figures; `others` are the lines, where they are not always the same. */
    update(now, others = drawn) {
      const few = (columns[0]?.length ?? 0) < 3;
      const same = others.length === drawn.length && others.every((line, i) => line.label === drawn[i].label);
      columns = now;
      drawn = others;
      const empty = !anything(columns);
      frame.empty(empty ? nothing || "Nothing has been measured yet." : "");
      if (empty) return;
      if (plot === null || !same || few) create();
      else plot.setData(columns);
    },
  };
}

function shownValue(value, format) {
  return value === null || value === undefined ? "–" : format(value);
}

function dashOf(line, i) {
  return line?.dash ?? DASHES[i % DASHES.length];
}

function paintOf(line, i) {
  return line.paint ?? `l${i % 6}`;
}
