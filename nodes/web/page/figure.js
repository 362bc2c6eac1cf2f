// A figure on the page: title, what is drawn, a caption, and two ways to save it.

import { el, say, show } from "./dom.js";
import { saveCsv, savePng } from "./save.js";

/**
 * Return {root, body, caption(text), empty(text)}.
 *
 * `canvas()` gives what a picture is made of, `key()` its colors in words, `rows()` the figures, the first row their names.
 */
export function makeFigure({ title, name, canvas, rows, key = () => [] }) {
  const body = el("div");
  const nothing = el("p", { class: "empty", hidden: true });
  const caption = el("figcaption");
  const png = el("button", {
    type: "button", text: "PNG", title: `Save “${title}” as a picture`,
    onclick: () => canvas() && savePng(name, canvas(), title, key()),
  });
  const table = el("button", {
    type: "button", text: "CSV", title: `Save the figures of “${title}”`, onclick: () => saveCsv(name, rows()),
  });
  const root = el("figure", { "aria-label": title },
    el("div", { class: "head" }, el("h2", { text: title }), canvas ? png : null, table), nothing, body, caption);
  return {
    root,
    body,
    caption: (words) => say(caption, words),
    /** Show a word in place of the figure; "" shows the figure. */
    empty: (words) => {
      say(nothing, words);
      show(nothing, words !== "");
      show(body, words === "");
      show(png, words === "");
      show(table, words === "");
    },
  };
}
