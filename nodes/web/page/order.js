// The order in which people expect names and figures.

const natural = new Intl.Collator("en", { numeric: true });

/** Compare names, peer-9 before peer-10. */
export const byName = natural.compare;

/** Return a comparison of rows by `value`; what is not known comes last, whichever way it is sorted. */
export function by(value, descending) {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    const [noX, noY] = [x === null || x === undefined || x === "", y === null || y === undefined || y === ""];
    if (noX || noY) return Number(noX) - Number(noY);
    const order = typeof x === "number" && typeof y === "number" ? x - y : byName(String(x), String(y));
    return descending ? -order : order;
  };
}
