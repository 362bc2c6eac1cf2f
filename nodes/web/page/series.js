// Columns of the record as lines of a chart: what was not measured is passed over, what is missing is a gap.

import { known } from "./format.js";

/**
 * Return [x, line, line, …] for the columns `names` of `rounds`; `gaps: false` for what is only a sample of rounds.
 *
 * A round in which a figure was not measured (undefined) does not break its line; rounds that are missing do (null). On a
 * scale of powers of ten (`log`) only positive values exist.
 */
export function lines(rounds, names, { log = false, gaps = true } = {}) {
  const x = rounds.round ?? [];
  const value = (column, i) => (known(column?.[i]) && (!log || column[i] > 0) ? column[i] : undefined);
  const out = [[], ...names.map(() => [])];
  x.forEach((round, i) => {
    if (gaps && isGap(x, i)) {
      out[0].push(x[i - 1] + (round - x[i - 1]) / 2);
      for (const line of out.slice(1)) line.push(null);
    }
    out[0].push(round);
    names.forEach((name, k) => out[k + 1].push(value(rounds[name], i)));
  });
  return out;
}

/** Whether rounds are missing before the i-th: its step is some times that of its neighbors (a thinned history has larger ones). */
function isGap(x, i) {
  const steps = [];
  for (let k = Math.max(1, i - 2); k <= Math.min(x.length - 1, i + 2); k += 1) steps.push(x[k] - x[k - 1]);
  steps.sort((a, b) => a - b);
  return i > 0 && x[i] - x[i - 1] > 3 * steps[Math.floor(steps.length / 2)];
}

export function anything(columns) {
  return columns.slice(1).some((column) => column.some(known));
}

/** Return the sums so far. */
export function cumulated(column) {
  let sum = 0;
  return (column ?? []).map((value) => (known(value) ? (sum += value) : null));
}
