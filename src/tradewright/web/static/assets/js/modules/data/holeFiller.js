/** Fills what a chart lacks: one question at a time, the newest hole first, again until nothing is lacking. */

import { backoffMs } from "../net/backoff.js";
import { withHole, withoutInterval } from "../state/holes.js";

/**
 * @import {Hole} from "../state/holes.js"
 * @typedef {{
 *   read: (range: {start: number, end: number, limit: number}) => Promise<boolean>,
 *   after: (ms: number, work: () => void) => () => void,
 * }} HoleFillerPorts
 *   `read` answers whether all was well, and tells `known` what was read then
 */

export const FILL_LIMIT = 5_000;
export const FILL_PAGES_MAX = 6;

export class HoleFiller {
  #ports;
  /** @type {Hole[]} */
  #holes = [];
  /** @type {Promise<void> | null} */
  #filling = null;
  #failures = 0;
  #ended = false;
  /** @type {() => void} */
  #cancel = () => undefined;

  /** @param {HoleFillerPorts} ports */
  constructor(ports) {
    this.#ports = ports;
  }

  /** Whether nothing is lacking. */
  get done() {
    return this.#holes.length === 0;
  }

  /** @param {Hole} hole */
  note(hole) {
    this.#holes = withHole(this.#holes, hole);
  }

  /** @param {number} start @param {number} end exclusive; what is in between is not lacking, or no longer */
  known(start, end) {
    this.#holes = withoutInterval(this.#holes, { start, end });
  }

  /**
   * Asks now, however long it would have waited after a failure.
   *
   * @returns {Promise<void>} resolved when all is filled, or when that has failed and is tried again later
   */
  fill() {
    this.#cancel();
    if (this.#ended || this.done) return this.#filling ?? Promise.resolve();
    this.#filling ??= this.#fillOnce().finally(() => (this.#filling = null));
    return this.#filling;
  }

  destroy() {
    this.#ended = true;
    this.#cancel();
  }

  async #fillOnce() {
    let well = true;
    for (let page = 0; page < FILL_PAGES_MAX && well && !this.#ended; page += 1) {
      const newest = this.#holes[this.#holes.length - 1];
      if (!newest) break;
      well = await this.#ports.read({ ...newest, limit: FILL_LIMIT });
    }
    this.#failures = well ? 0 : this.#failures + 1;
    if (this.#ended || this.done) return;
    this.#cancel();
    this.#cancel = this.#ports.after(backoffMs(this.#failures), () => this.fill());
  }
}
