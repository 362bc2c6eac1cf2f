// Light or dark: as the system has it, until somebody chooses.

const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();
let chosen = null;
try {
  chosen = localStorage.getItem("nervenet-theme");
} catch { /* a browser that keeps nothing follows the system */ }

function apply() {
  document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
  for (const listener of listeners) listener();
}

export function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

export function switchTheme() {
  chosen = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("nervenet-theme", chosen);
  } catch { /* then it holds for this page */ }
  apply();
}

/** Call `listener` at each change; returns how to stop that. */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Return a color of theme.css by its name. */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

dark.addEventListener("change", apply);
apply();
