// What ends with the screen that it was made for: observers and listeners, which would hold all of it in memory.

let ends = [];

/** Have `end` called when another screen is put up. */
export function onLeave(end) {
  ends.push(end);
}

export function leave() {
  for (const end of ends) end();
  ends = [];
}
