// Keys, and the list of them.

import { el } from "./dom.js";

/** Listen for `keys`: [[key, what it does, action], …]; the first key of a list stands in the help. */
export function listen(keys, help) {
  help.replaceChildren(
    el("h2", { text: "Keys" }),
    el("dl", { class: "facts" }, ...keys.flatMap(([names, what]) => [
      el("dt", {}, ...names.map((name) => el("kbd", { text: shown(name) }))), el("dd", { text: what })])),
    el("form", { method: "dialog" }, el("button", { text: "Close" })),
  );
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
    if (help.open) return;
    const on = event.target.matches?.("button, a, summary, input") && (event.key === "Enter" || event.key === " ");
    if (on) return;
    for (const [names, , action] of keys) {
      if (!names.includes(event.key)) continue;
      if (action(event) !== false) event.preventDefault();
      return;
    }
  });
}

function shown(name) {
  return { " ": "space", ArrowUp: "↑", ArrowDown: "↓", Escape: "esc" }[name] ?? name;
}
