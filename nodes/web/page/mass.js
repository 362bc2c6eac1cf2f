// Push-sum mass of each peer: their sum stays what it was; a peer far below one counts for little.

import { makeDrawing, fit } from "./drawing.js";
import { makeFigure } from "./figure.js";
import { figure as number, known, text } from "./format.js";
import { byName } from "./order.js";
import { color } from "./theme.js";

const NAMED = 24;

export function makeMass(store, open) {
  let rows = [];
  const figure = makeFigure({
    title: "Push-sum mass", name: "mass", canvas: () => drawing.canvas, rows: () => [["node", "mass"], ...rows],
  });
  const high = () => (rows.length > NAMED ? 260 : 24 + rows.length * 20);
  const at = (x, y, width) => rows[rows.length > NAMED ? Math.floor((x / width) * rows.length) : Math.floor(y / 20)];
  const drawing = makeDrawing({
    paint, heightOf: high, label: "Mass of each peer",
    hit: (x, y) => { const row = at(x, y, drawing.root.clientWidth); return row ? `${text(row[0], 80)}: ${number(row[1])}` : ""; },
    open: (x, y) => { const row = at(x, y, drawing.root.clientWidth); if (row) open(row[0]); },
  });
  figure.body.append(drawing.root);

  function paint(pen, width, height) {
    const most = rows.reduce((top, [, mass]) => Math.max(top, mass), 1);
    const columns = rows.length > NAMED;
    const left = columns ? 0 : 110;
    const length = columns ? height - 20 : width - left - 60;
    rows.forEach(([name, mass], i) => {
      const size = (Math.max(0, mass) / most) * length;
      pen.fillStyle = color("mix");
      if (columns) pen.fillRect((i / rows.length) * width, height - size, Math.max(1, width / rows.length - (rows.length > 100 ? 0 : 1)), size);
      else {
        pen.fillRect(left, i * 20 + 3, size, 14);
        pen.fillStyle = color("ink");
        pen.fillText(fit(pen, text(name, 40), left - 8), 0, i * 20 + 10);
        pen.fillText(number(mass), left + size + 6, i * 20 + 10);
      }
    });
    pen.strokeStyle = color("ink");
    pen.setLineDash([4, 3]);
    pen.beginPath();
    const one = length / most;
    if (columns) { pen.moveTo(0, height - one); pen.lineTo(width, height - one); }
    else { pen.moveTo(left + one, 0); pen.lineTo(left + one, height - 20); }
    pen.stroke();
    pen.setLineDash([]);
  }

  return {
    root: figure.root,
    update() {
      rows = [...store.mass].filter(([, mass]) => known(mass)).sort(([a], [b]) => byName(a, b));
      figure.empty(rows.length ? "" : "Peers have a mass where the algorithm is push-sum (sgp).");
      const sum = rows.reduce((all, [, mass]) => all + mass, 0);
      figure.caption(rows.length ? `Sum ${number(sum)} over ${rows.length} peers; the dashes are one.` : "");
      if (rows.length) drawing.draw();
    },
  };
}
