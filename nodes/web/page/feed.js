// What has happened, newest first: a few hundred lines, and no more, are in the page.

import { el } from "./dom.js";
import { clock, text } from "./format.js";
import { saveCsv } from "./save.js";

const SHOWN = 200;
const SIGNS = { info: "·", good: "✓", warn: "△", bad: "✕" };

/** Return {root, update()}; `concerns(line)` chooses lines, all by default. */
export function makeFeed(store, concerns = () => true) {
  const list = el("ol", { class: "feed", tabIndex: 0, "aria-label": "What has happened" });
  let trouble = false;
  let last = null; // the newest line that has been shown
  const only = el("button", { type: "button", text: "Troubles only", "aria-pressed": "false", onclick: () => {
    trouble = !trouble;
    only.setAttribute("aria-pressed", String(trouble));
    last = null;
    update();
  } });
  const root = el("figure", { "aria-label": "What has happened" }, el("div", { class: "head" }, el("h2", { text: "What has happened" }), only,
    el("button", { type: "button", text: "CSV", onclick: () => saveCsv("feed", [["time", "kind", "node", "text"],
      ...store.feed.filter(concerns).map((line) => [line.time, line.kind, line.node, line.text])]) })), list);

  function update() {
    const from = store.feed.indexOf(last);
    if (from < 0) list.replaceChildren();
    const fresh = store.feed.slice(from + 1).filter((line) => concerns(line) && (!trouble || line.kind === "warn" || line.kind === "bad"));
    last = store.feed.at(-1) ?? null;
    list.prepend(...fresh.slice(-SHOWN).reverse().map(item));
    while (list.children.length > SHOWN) list.lastChild.remove();
  }

  return { root, update };
}

function item(line) {
  return el("li", { class: ["good", "warn", "bad"].includes(line.kind) ? line.kind : "" },
    el("time", { text: clock(line.time) }), el("span", { text: SIGNS[line.kind] ?? "·", "aria-label": line.kind }),
    el("span", { class: "name", text: text(line.text, 500) }));
}
