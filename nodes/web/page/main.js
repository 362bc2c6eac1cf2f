// The page: one store, one line to the server, one screen at a time.

import * as compare from "./compare.js";
import { el, say, show } from "./dom.js";
import { duration, names, text } from "./format.js";
import * as graph from "./graph.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { leave } from "./lifetime.js";
import * as network from "./network.js";
import * as node from "./node.js";
import * as nodes from "./nodes.js";
import * as overview from "./overview.js";
import { makeReplay } from "./replay.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { switchTheme } from "./theme.js";
import * as time from "./time.js";

const SCREENS = { overview, nodes, time, graph, network, compare };
const EACH_MS = 250; // no sooner is anything drawn again

const at = (id) => document.getElementById(id);
const store = new Store();
const history = new History();
const app = { store, history, go, now: () => stream.now(), replayed: () => stream.path !== "stream" };
const stream = new Stream(store, (word, lost) => {
  say(at("link"), `${lost ? "↻" : word.startsWith("live") ? "●" : "■"} ${word}`);
  at("link").classList.toggle("lost", lost);
});
const replay = makeReplay(at("replay"), stream, store);
let screen = null;
let routed = null; // the address whose screen is up
let drawnChanges = -1;
let drawnAt = 0;

/** Go to a screen at once: the next key is already for it, and the browser tells of the new address only later. */
function go(hash) {
  location.hash = hash;
  route();
}

/** Put up the screen that the address names; a node has a page of its own. */
function route() {
  if (routed === location.hash) return;
  routed = location.hash;
  const [name, ...rest] = location.hash.slice(1).split("/");
  const one = name === "nodes" && rest.length > 0;
  const known = SCREENS[name] ? name : "overview";
  leave();
  for (const tab of at("tabs").children) {
    if (tab.dataset.screen === known) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  at("main").replaceChildren();
  screen = one ? node.open(at("main"), app, decoded(rest.join("/"))) : SCREENS[known].open(at("main"), app);
  drawnChanges = -1;
  draw();
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Have the screen do what a key asks for; false if it knows nothing of it. */
function onScreen(what, ...words) {
  return screen[what] ? screen[what](...words) : false;
}

function draw() {
  if (document.hidden || (drawnChanges === store.changes && performance.now() - drawnAt < 1000)) return;
  drawnChanges = store.changes;
  drawnAt = performance.now();
  history.note(store.nodes);
  head();
  replay.update();
  screen.update();
}

function head() {
  const { outcome, waiting } = store;
  say(at("run"), [outcome.run, outcome.mode, outcome.data, outcome.model].filter(Boolean).map((word) => text(word, 60)).join(" · "));
  if (store.v !== null) say(at("outcome"), outcomeLine(outcome));
  at("outcome").className = { completed: "good", failed: "bad", interrupted: "bad" }[outcome.status] ?? "";
  document.title = `${outcome.round ?? 0} of ${outcome.rounds || "?"} · ${text(outcome.run ?? "", 40)} · nervenet`;
  const who = store.finished ? [] : waiting;
  show(at("waiting"), who.length > 0);
  if (who.length) say(at("waiting"), waitingLine(who[0], who.length));
}

function outcomeLine(outcome) {
  return text(outcome.line || `Round ${outcome.round ?? 0} of ${outcome.rounds || "?"}, ${outcome.status ?? "starting"}`, 600);
}

function waitingLine(wait, all) {
  const whom = names([wait.for ?? []].flat());
  const since = wait.since ? ` ${duration(app.now() - wait.since)}` : "";
  const why = wait.why ? ` (${text(wait.why, 200)})` : "";
  return `${text(wait.node, 60)} has waited${since}${whom ? ` for ${whom}` : ""}${why}${all > 1 ? `; ${all - 1} more wait` : ""}`;
}

Object.keys(SCREENS).forEach((name, i) => at("tabs").append(
  Object.assign(el("a", { href: `#${name}` }, el("kbd", { text: String(i + 1) }), SCREENS[name].title), { className: "tab" })));
[...at("tabs").children].forEach((tab, i) => { tab.dataset.screen = Object.keys(SCREENS)[i]; });
at("theme").addEventListener("click", switchTheme);
at("help").addEventListener("click", () => at("keys").showModal());
listen([
  ...Object.keys(SCREENS).map((name, i) => [[String(i + 1)], SCREENS[name].title, () => go(name)]),
  [["j", "ArrowDown"], "next row, next node", () => onScreen("move", 1)],
  [["k", "ArrowUp"], "row or node before", () => onScreen("move", -1)],
  [["Enter"], "open the row", () => onScreen("enter")],
  [["/"], "filter", () => onScreen("filter")],
  [["Escape"], "back", () => onScreen("back")],
  [[" "], "replay: go on, pause", replay.toggle],
  [["d"], "light or dark", switchTheme],
  [["?"], "this list", () => at("keys").showModal()],
], at("keys"));
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", draw);
setInterval(draw, EACH_MS);
route();
