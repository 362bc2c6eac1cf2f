// A recording, once more: from where, how fast, and stop.

import { el, say, show } from "./dom.js";
import { duration } from "./format.js";

const SPEEDS = [0.5, 1, 2, 5, 10, 50, 200];

/** Put the controls into `root`; they are seen where the server has a recording. */
export function makeReplay(root, stream, store) {
  const play = el("button", { type: "button", text: "▶ Replay", onclick: () => toggle() });
  const end = el("button", { type: "button", text: "Show the end", onclick: () => stream.open("stream") });
  const speed = el("select", { "aria-label": "Speed", onchange: () => playing() && from(at()) },
    ...SPEEDS.map((value) => el("option", { value, text: `${value} ×`, selected: value === 1 })));
  const slider = el("input", { type: "range", min: 0, step: "any", value: 0, "aria-label": "Where in the recording",
    onchange: () => from(Number(slider.value)) });
  const place = el("span", { class: "quiet" });
  root.append(play, speed, slider, place, end);
  let held = false;
  slider.addEventListener("pointerdown", () => { held = true; });
  slider.addEventListener("change", () => { held = false; });

  const playing = () => stream.path !== "stream" && !stream.paused && !store.replay?.ended;
  const at = () => store.replay?.at_s ?? 0;

  function from(seconds) {
    stream.open(`replay?speed=${speed.value}&at=${seconds.toFixed(3)}`);
  }

  function toggle() {
    if (!store.replay) return false;
    if (playing()) stream.pause();
    else from(stream.path === "stream" || store.replay.ended ? 0 : at());
    update();
    return true;
  }

  function update() {
    const { replay } = store;
    show(root, Boolean(replay));
    if (!replay) return;
    const replaying = stream.path !== "stream";
    say(play, playing() ? "❚❚ Pause" : replaying && !replay.ended ? "▶ Go on" : "▶ Replay");
    show(end, replaying);
    slider.max = replay.length_s ?? 0;
    if (!held) slider.value = replaying ? at() : slider.max;
    say(place, `${duration(replaying ? at() : replay.length_s)} of ${duration(replay.length_s)}`);
  }

  return { update, toggle };
}
