// What is seen, to take along: a picture with its title and key, or the figures behind it.

import { download } from "./dom.js";
import { color } from "./theme.js";

/** Return rows (lists) as CSV; a cell that a spreadsheet would take for a formula stays text. */
export function csv(rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function saveCsv(name, rows) {
  download(`${name}.csv`, new Blob([csv(rows)], { type: "text/csv" }));
}

/** Save a canvas on its ground, under a title and over a key: [[color name, word], …]. */
export function savePng(name, canvas, title, key = []) {
  const scale = devicePixelRatio || 1;
  const head = 30 * scale;
  const foot = key.length ? 26 * scale : 0;
  const picture = document.createElement("canvas");
  picture.width = canvas.width;
  picture.height = canvas.height + head + foot;
  const pen = picture.getContext("2d");
  pen.fillStyle = color("paper");
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.drawImage(canvas, 0, head);
  pen.fillStyle = color("ink");
  pen.font = `600 ${15 * scale}px system-ui, sans-serif`;
  pen.fillText(title, 10 * scale, 20 * scale);
  pen.font = `${12 * scale}px system-ui, sans-serif`;
  let x = 10 * scale;
  for (const [paint, word] of key) {
    pen.fillStyle = color(paint);
    pen.fillRect(x, picture.height - 17 * scale, 18 * scale, 8 * scale);
    pen.fillStyle = color("ink");
    pen.fillText(word, x + 23 * scale, picture.height - 9 * scale);
    x += 37 * scale + pen.measureText(word).width;
  }
  picture.toBlob((blob) => download(`${name}.png`, blob), "image/png");
}
