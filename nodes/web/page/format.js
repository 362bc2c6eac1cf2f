// Figures and names as people read them; what is not known is a dash.

const UNKNOWN = "–";
// Controls, and marks that turn the direction of what follows: a name cannot rearrange the line that it stands in.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Return text in which nothing is invisible, not longer than `most`. */
export function text(value, most = 300) {
  if (value === null || value === undefined) return "";
  const plain = String(value).replace(UNSEEN, "\u25af");
  return plain.length > most ? `${plain.slice(0, most)}…` : plain;
}

export function count(value) {
  if (!known(value)) return UNKNOWN;
  return Math.abs(value) < 1e15 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}

/** Return a score or a loss: four significant digits, and powers of ten only where it must be. */
export function figure(value) {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 1000 ? count(value) : String(Number(value.toPrecision(4)));
}

export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  let size = value;
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (Math.abs(size) < 1000 || unit === "TB") {
      return size < 1e6 ? `${size.toFixed(unit === "B" || size >= 100 ? 0 : 1)} ${unit}` : `${size.toPrecision(3)} ${unit}`;
    }
    size /= 1000;
  }
  return UNKNOWN;
}

/** Return a duration, two units at most. */
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const s = Math.max(0, seconds);
  if (s === 0) return "0 s";
  if (s < 0.001) return `${(s * 1e6).toFixed(0)} µs`;
  if (s < 1) return `${(s * 1000).toFixed(s < 0.01 ? 1 : 0)} ms`;
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return s < 86_400e4 ? `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h` : `${(s / 86_400).toExponential(1)} d`;
}

/** Return the time of day of unix seconds, as this browser's place has it. */
export function clock(time) {
  if (!known(time) || Math.abs(time) > 8e12) return UNKNOWN;
  return new Date(time * 1000).toLocaleTimeString("en-GB");
}

export function share(part, whole) {
  return known(part) && whole > 0 ? `${((100 * part) / whole).toFixed(part / whole < 0.1 ? 1 : 0)} %` : UNKNOWN;
}

/** Return names as a sentence has them: the first few, and how many more. */
export function names(list, most = 4) {
  const shown = list.slice(0, most).map((name) => text(name, 60));
  return list.length > most ? `${shown.join(", ")} and ${list.length - most} more` : shown.join(", ");
}
