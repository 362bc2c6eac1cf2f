// A table of any length: only the rows that are seen exist.

import { el, say } from "./dom.js";
import { by } from "./order.js";
import { saveCsv } from "./save.js";

const ROW = 29; // px, as in page.css
const AHEAD = 6; // rows beyond what is seen

/**
 * Return {root, update(rows), move(step), openSelected(), save()}.
 *
 * `columns` are [{label, value(row), show(row), number, tone(row), title}]; `open(row)` is called for a click or Enter.
 */
export function makeTable({ columns, name, label, sort = 0, descending = false, open = null, height = "70vh", keyOf }) {
  let rows = [];
  let sorted = { column: sort, descending };
  let selected = null; // key of a row
  const heads = columns.map((column, i) => el("th", { class: column.number ? "number" : "", "aria-sort": "none" },
    el("button", { type: "button", text: column.label, title: column.title ?? `Sort by ${column.label}`, onclick: () => sortBy(i) })));
  const above = pad();
  const below = pad();
  const body = el("tbody", {}, above.row, below.row);
  const root = el("div", { class: "scroller", tabIndex: 0, "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body));
  root.style.maxHeight = height;
  const pool = [];

  function pad() {
    const cell = el("td", { colSpan: columns.length });
    return { cell, row: el("tr", { class: "pad", "aria-hidden": "true" }, cell) };
  }

  function sortBy(i) {
    sorted = { column: i, descending: sorted.column === i ? !sorted.descending : Boolean(columns[i].number || columns[i].down) };
    draw();
  }

  function rowAt(i) {
    while (pool.length <= i) {
      const cells = columns.map((column) => el("td", { class: column.number ? "number" : "" }));
      const row = el("tr", { class: "row" }, ...cells);
      row.addEventListener("click", () => { selected = keyOf(row.shown); open?.(row.shown); draw(); });
      pool.push({ row, cells });
    }
    return pool[i];
  }

  function draw() {
    const { column, descending: down } = sorted;
    heads.forEach((head, i) => {
      head.setAttribute("aria-sort", i !== column ? "none" : down ? "descending" : "ascending");
      say(head.firstChild, columns[i].label + (i !== column ? "" : down ? " ↓" : " ↑"));
    });
    rows.sort(by(columns[column].value, down));
    const first = Math.max(0, Math.floor(root.scrollTop / ROW) - AHEAD);
    const height = root.clientHeight || 600;
    const seen = Math.ceil(height / ROW) + 2 * AHEAD;
    const last = Math.min(rows.length, first + seen);
    above.cell.style.height = `${first * ROW}px`;
    below.cell.style.height = `${(rows.length - last) * ROW}px`;
    for (let i = first; i < last; i += 1) fill(rowAt(i - first), rows[i]);
    pool.forEach(({ row }, i) => {
      if (i >= last - first) row.remove();
      else if (!row.isConnected) body.insertBefore(row, below.row);
    });
    if (root.clientHeight > height) draw(); // it is as high as what it holds, and that was less
  }

  function fill({ row, cells }, shown) {
    row.shown = shown;
    row.setAttribute("aria-selected", String(keyOf(shown) === selected));
    columns.forEach((column, i) => {
      const words = column.show(shown);
      if (cells[i].textContent === words && cells[i].dataset.tone === (column.tone?.(shown) ?? "")) return;
      cells[i].textContent = words;
      cells[i].title = words.length > 18 ? words : "";
      cells[i].dataset.tone = column.tone?.(shown) ?? "";
      cells[i].className = `${column.number ? "number" : "name"} ${cells[i].dataset.tone}`;
    });
  }

  root.addEventListener("scroll", draw, { passive: true });

  return {
    root,
    update(now) {
      rows = [...now];
      draw();
    },
    /** Select the next row (1) or the one before (-1), and bring it into view. */
    move(step) {
      if (!rows.length) return;
      const at = rows.findIndex((row) => keyOf(row) === selected);
      const to = Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + step));
      selected = keyOf(rows[to]);
      const top = to * ROW;
      if (top < root.scrollTop) root.scrollTop = top;
      else if (top + 2 * ROW > root.scrollTop + root.clientHeight - ROW) root.scrollTop = top + 3 * ROW - root.clientHeight;
      draw();
    },
    openSelected() {
      const row = rows.find((one) => keyOf(one) === selected);
      if (row !== undefined) open?.(row);
    },
    save: () => saveCsv(name, [columns.map((column) => column.label), ...rows.map((row) => columns.map((column) => column.value(row)))]),
  };
}
