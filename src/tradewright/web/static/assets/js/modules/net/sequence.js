/** The continuity of one topic: decides for each message whether it follows, repeats or leaves a gap. */

/** @typedef {"apply" | "ignore" | "gap"} Verdict */

/** Where a topic's reader stands; starts empty and is set by each snapshot. */
export class SequenceTracker {
  /** @type {string | null} */
  #epoch = null;
  #seq = -1;
  #whole = false;

  /**
   * The position to hand to the server as `resume`: null before any snapshot, and while the newest one was not
   * whole, since what is replayed after it does not bring what it lacked.
   */
  get position() {
    return this.#epoch === null || !this.#whole ? null : { epoch: this.#epoch, seq: this.#seq };
  }

  /**
   * One that tells a problem lacks what could not be read. One of trades that begins at 0 knows none, though
   * this page may have been told some of those that follow by the feed before.
   *
   * @param {{epoch: string, seq: number, problems?: readonly unknown[], trades?: readonly unknown[]}} snapshot
   */
  snapshot({ epoch, seq, problems = [], trades }) {
    this.#epoch = epoch;
    this.#seq = seq;
    this.#whole = problems.length === 0 && (trades === undefined || seq > 0);
  }

  /**
   * An update follows when `seq` is the previous one plus one, plus the `conflated` messages that the
   * server left out on purpose. One that was seen already is ignored; anything else is a gap, after
   * which nothing is applied until the next snapshot.
   *
   * @param {{epoch: string, seq: number, conflated?: number | null}} update
   * @returns {Verdict}
   */
  update({ epoch, seq, conflated }) {
    if (this.#epoch === null) return "ignore";
    if (epoch !== this.#epoch) return this.#lose();
    if (seq <= this.#seq) return "ignore";
    const leftOut = conflated ?? 0;
    if (seq !== this.#seq + leftOut + 1) return this.#lose();
    this.#seq = seq;
    return "apply";
  }

  /** Forgets the position: only a snapshot is accepted next. */
  reset() {
    this.#epoch = null;
    this.#seq = -1;
  }

  /** @returns {Verdict} */
  #lose() {
    this.reset();
    return "gap";
  }
}
