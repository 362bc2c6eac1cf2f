// A canvas that is drawn anew when its size or the theme changes, sharp on any screen; and what is under the pointer.

import { el } from "./dom.js";
import { onLeave } from "./lifetime.js";
import { onTheme } from "./theme.js";

/**
 * Return {root, canvas, draw()}.
 *
 * `paint(pen, width, height)` draws in CSS pixels; `heightOf(width)` says how high it is to be; `hit(x, y)` gives the words for a
 * point, or "", and `open(x, y)` is called for a click. `scroller`: the box in which a tall drawing scrolls under its canvas.
 */
export function makeDrawing({ paint, heightOf, hit = () => "", open = null, label, scroller = null }) {
  const canvas = el("canvas", { role: "img", "aria-label": label });
  const root = scroller ?? el("div");
  root.append(canvas);
  const tip = el("div", { class: "tip", hidden: true });
  document.body.append(tip);

  function draw() {
    const width = root.clientWidth;
    if (width < 10) return;
    const height = heightOf(width);
    const scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    paint(pen, width, height);
  }

  function follow(event) {
    const words = hit(event.offsetX, event.offsetY);
    tip.hidden = words === "";
    tip.textContent = words;
    canvas.style.cursor = words && open ? "pointer" : "default";
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 8 : event.clientY + 16}px`;
  }

  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  if (open) canvas.addEventListener("click", (event) => open(event.offsetX, event.offsetY));
  const watcher = new ResizeObserver(draw);
  watcher.observe(root);
  const stopTheme = onTheme(draw);
  onLeave(() => {
    watcher.disconnect();
    stopTheme();
    tip.remove();
  });
  return { root, canvas, draw };
}

/** Return `words` cut so that they are `width` wide at most. */
export function fit(pen, words, width) {
  if (pen.measureText(words).width <= width) return words;
  let cut = words;
  while (cut.length > 1 && pen.measureText(`${cut}…`).width > width) cut = cut.slice(0, Math.floor(cut.length * 0.9));
  return `${cut}…`;
}
