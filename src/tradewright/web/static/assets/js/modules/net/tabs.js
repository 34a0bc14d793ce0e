/** The other tabs of this browser: one of them works at a time, and each hears what the others have got. */

/** @import {Remembered, TabMessage} from "./authSession.js" */

const NAME = "tradewright.session";
/** Who waits longer goes on without the lock; the server answers two at once alike. */
const LOCK_DEADLINE_MS = 20_000;
/** How long at most to listen for what the tab before has sent: its message and its lock travel apart. */
const HEARSAY_MS = 1_000;

export class BrowserTabs {
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** When the newest login or renewal was, as far as it has been heard of here; epoch ms. */
  #heardOf = 0;
  /** @type {() => void} */
  #onHeard = () => undefined;

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async exclusively(work) {
    // Locks are there only where the browser trusts the origin: https, or this very computer.
    const locks = globalThis.isSecureContext ? navigator.locks : undefined;
    if (!locks) return work();
    const free = await locks.request(NAME, { ifAvailable: true }, async (lock) => {
      return lock !== null && { done: await this.#informed(work, false) };
    });
    if (free) return free.done;
    let started = false;
    const run = () => {
      started = true;
      return this.#informed(work, true);
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
    if (message.type === "token") {
      this.#heardOf = message.held.issuedAt;
      this.#write(`in ${this.#heardOf}`);
    }
    this.#channel?.postMessage(message);
  }

  /** @param {(message: TabMessage) => void} onMessage */
  watch(onMessage) {
    if (typeof document === "undefined") return;
    this.#heardOf = this.#renewedAt();
    this.#channel = new BroadcastChannel(NAME);
    this.#channel.addEventListener("message", ({ data }) => {
      if (data?.type === "token" && typeof data.held?.token === "string") this.#heardOf = data.held.issuedAt;
      else if (data?.type !== "logout") return;
      onMessage(data);
      this.#onHeard();
    });
    // A logout is heard this way too, should the channel be closed to us.
    globalThis.addEventListener("storage", ({ key }) => {
      // What counts is what is remembered now: somebody may have come back since.
      if ((key === null || key === NAME) && this.remembered() !== "in") onMessage({ type: "logout" });
    });
  }

  /** @param {Remembered} state */
  remember(state) {
    if (state === "in" && this.remembered() === "in") return;
    this.#write(state === "in" ? `in ${this.#heardOf}` : state);
  }

  /** @returns {Remembered} */
  remembered() {
    const word = this.#read().split(" ")[0];
    return word === "in" || word === "leaving" ? word : "out";
  }

  /**
   * Lets what another tab has just got arrive before the work begins, where there is something to wait for.
   *
   * @template T @param {() => Promise<T>} work @param {boolean} waited for another tab @returns {Promise<T>}
   */
  async #informed(work, waited) {
    if (this.remembered() === "in" && (waited || this.#renewedAt() > this.#heardOf)) {
      await new Promise((resolve) => {
        this.#onHeard = () => resolve(undefined);
        setTimeout(resolve, HEARSAY_MS);
      });
    }
    return work();
  }

  #renewedAt() {
    return Number(this.#read().split(" ")[1] ?? 0);
  }

  #read() {
    try {
      return localStorage.getItem(NAME) ?? "";
    } catch {
      return ""; // without storage each page asks the server anew
    }
  }

  /** @param {string} value "out" removes it */
  #write(value) {
    try {
      if (value === "out") localStorage.removeItem(NAME);
      else localStorage.setItem(NAME, value);
    } catch {
      // A full or forbidden storage costs the memory, not the login.
    }
  }
}
