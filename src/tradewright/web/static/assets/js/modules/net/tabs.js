/** The other tabs of this browser: one of them works at a time, and each hears what the others have got. */

/** @import {Remembered, TabMessage} from "./authSession.js" */

const NAME = "tradewright.session";
/** Who waits longer goes on without the lock; the server answers two at once alike. */
const LOCK_DEADLINE_MS = 20_000;
/** How long to listen for what the tab before has sent: its message and its lock travel apart. */
const HEARSAY_MS = 60;

export class BrowserTabs {
  /** @type {BroadcastChannel | null} */
  #channel = null;

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async exclusively(work) {
    // Locks are there only where the browser trusts the origin: https, or this very computer.
    const locks = globalThis.isSecureContext ? navigator.locks : undefined;
    if (!locks) return work();
    let started = false;
    const waitedFrom = performance.now();
    const run = async () => {
      started = true;
      if (performance.now() - waitedFrom > 5) await new Promise((resolve) => { setTimeout(resolve, HEARSAY_MS); });
      return work();
    };
    try {
      return await locks.request(NAME, { signal: AbortSignal.timeout(LOCK_DEADLINE_MS) }, run);
    } catch (error) {
      if (started) throw error;
      return work();
    }
  }

  /** @param {TabMessage} message */
  tell(message) {
    this.#channel?.postMessage(message);
  }

  /** @param {(message: TabMessage) => void} onMessage */
  watch(onMessage) {
    if (typeof document === "undefined") return;
    this.#channel = new BroadcastChannel(NAME);
    this.#channel.addEventListener("message", ({ data }) => {
      if (data?.type === "logout" || (data?.type === "token" && typeof data.held?.token === "string")) onMessage(data);
    });
    // A logout is heard this way too, should the channel be closed to us.
    globalThis.addEventListener("storage", ({ key }) => {
      // What counts is what is remembered now: somebody may have come back since.
      if ((key === null || key === NAME) && this.remembered() !== "in") onMessage({ type: "logout" });
    });
  }

  /** @param {Remembered} state */
  remember(state) {
    try {
      if (state === "out") localStorage.removeItem(NAME);
      else localStorage.setItem(NAME, state);
    } catch {
      // Without storage each page asks the server anew.
    }
  }

  /** @returns {Remembered} */
  remembered() {
    try {
      const stored = localStorage.getItem(NAME);
      return stored === "in" || stored === "leaving" ? stored : "out";
    } catch {
      return "out";
    }
  }
}
