// The line to the server: a state, then changes; it comes back by itself, and says where it stands.

const SILENCE_S = 12; // a live run's server says something every 2 s
const LONGEST_WAIT_S = 8;

export async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

export class Stream {
  /** `store` takes what comes; `told(word, lost)` is called where the state of the line changes. */
  constructor(store, told) {
    this.store = store;
    this.told = told;
    this.path = "stream";
    this.paused = false;
    this.failures = 0;
    this.open();
    setInterval(() => this.#watch(), 1000);
  }

  /** Listen; `path` is another one for a replay. */
  open(path = this.path) {
    this.path = path;
    this.paused = false;
    this.retryAt = null;
    this.heard = performance.now(); // of the last word
    this.source?.close();
    const source = new EventSource(path);
    this.source = source;
    const on = (kind, take) => source.addEventListener(kind, (event) => source === this.source && this.#take(event, take));
    on("state", (data) => this.store.replace(data));
    on("delta", (data) => this.store.merge(data) || this.open());
    source.addEventListener("open", () => { this.heard = performance.now(); });
    source.addEventListener("error", () => source === this.source && this.#lost());
    this.#tell();
  }

  /** Stop listening; what was known stays. */
  pause() {
    this.paused = true;
    this.source.close();
    this.#tell();
  }

  /** Return the clock of the run: as it said last, and on from there while it goes on. */
  now() {
    const { now, live, replay } = this.store;
    if (now === null) return Date.now() / 1000;
    if (this.path !== "stream") return now + (this.paused || replay?.ended ? 0 : Math.min(this.silence(), 2) * (replay?.speed ?? 1));
    return live ? now + this.silence() : now;
  }

  silence() {
    return (performance.now() - this.heard) / 1000;
  }

  #take(event, how) {
    this.failures = 0;
    this.heard = performance.now();
    try {
      how(JSON.parse(event.data));
    } catch (error) {
      console.error("what the server said cannot be read", error);
    }
    this.#tell();
  }

  #lost() {
    if (this.retryAt !== null || this.paused) return;
    this.source.close();
    if (this.path !== "stream" && this.store.replay?.ended) return; // the recording is at its end
    this.failures += 1;
    this.retryAt = performance.now() + 1000 * Math.min(LONGEST_WAIT_S, 2 ** (this.failures - 1));
    this.#tell();
    // Who has to log in again cannot see that from an event source.
    fetch("state").then((answer) => answer.status === 401 && location.reload(), () => {});
  }

  #watch() {
    if (this.paused) return;
    if (this.retryAt !== null && performance.now() >= this.retryAt) this.open();
    else if (this.retryAt === null && this.store.live && !this.store.finished && this.silence() > SILENCE_S) this.#lost();
    this.#tell();
  }

  #tell() {
    const { behind_s, finished, replay, v } = this.store;
    if (this.retryAt !== null) {
      const wait = Math.max(1, Math.ceil((this.retryAt - performance.now()) / 1000));
      this.told(finished ? "finished; the server is gone" : `connection lost, trying again in ${wait} s`, !finished);
    } else if (this.failures && !finished) this.told("connecting again …", true);
    else if (v === null) this.told("connecting …", false);
    else if (this.path !== "stream") this.told(this.paused ? "replay, paused" : replay?.ended ? "replay, at its end" : "replay", false);
    else this.told(finished ? "finished" : behind_s ? `live, ${behind_s} s behind` : "live", false);
  }
}
