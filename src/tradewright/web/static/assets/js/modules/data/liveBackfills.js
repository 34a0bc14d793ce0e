/** The backfills of the server, live: by the socket where it tells them, else by asking from time to time. */

import { asApiError } from "../net/errors.js";
import { withBackfill } from "../state/backfills.js";

/**
 * @import {ApiError} from "../net/errors.js"
 * @import {Page} from "../net/answers.js"
 * @import {BackfillJob} from "../net/protocol.js"
 * @import {StreamHandlers} from "../net/socket.js"
 * @typedef {{
 *   list: (signal: AbortSignal) => Promise<Page<BackfillJob>>,
 *   subscribe: (handlers: StreamHandlers) => () => void,
 *   isLinkUp: () => boolean,
 *   every: (work: () => void, ms: number) => () => void,
 * }} LiveBackfillsPorts
 * @typedef {{onList: (backfills: readonly BackfillJob[]) => void, onError: (error: ApiError) => void}} LiveBackfillsHandlers
 */

const ASK_EVERY_MS = 3_000;

export class LiveBackfills {
  #ports;
  #handlers;
  /** @type {readonly BackfillJob[]} */
  #known = [];
  /** Whether the socket tells what happens. */
  #told = false;
  #asking = false;
  /** Rises with all that is shown, so that an answer is not shown over what came after its question. */
  #news = 0;
  #ended = new AbortController();
  #stop;

  /**
   * @param {LiveBackfillsPorts} ports
   * @param {LiveBackfillsHandlers} handlers
   */
  constructor(ports, handlers) {
    this.#ports = ports;
    this.#handlers = handlers;
    const leave = ports.subscribe({
      onSnapshot: ({ backfills }) => {
        this.#told = true;
        this.#show(backfills ?? []);
      },
      onUpdate: ({ backfill }) => backfill && this.note(backfill),
      onError: () => (this.#told = false),
    });
    const rest = ports.every(() => this.#askIfNeeded(), ASK_EVERY_MS);
    this.#stop = () => {
      leave();
      rest();
    };
    this.ask();
  }

  /** Puts in what is known of one. @param {BackfillJob} news */
  note(news) {
    this.#show(withBackfill(this.#known, news));
  }

  /** Reads the list now. */
  async ask() {
    if (this.#asking) return;
    this.#asking = true;
    const { signal } = this.#ended;
    const before = this.#news;
    try {
      const { items } = await this.#ports.list(signal);
      if (!signal.aborted && before === this.#news) this.#show(items);
    } catch (error) {
      if (!signal.aborted) this.#handlers.onError(asApiError(error));
    } finally {
      this.#asking = false;
    }
  }

  destroy() {
    this.#ended.abort();
    this.#stop();
  }

  #askIfNeeded() {
    // A link that is down tells nothing, and may have missed something when it is up again: then a snapshot comes.
    if (this.#told && this.#ports.isLinkUp()) return;
    this.ask();
  }

  /** @param {readonly BackfillJob[]} backfills */
  #show(backfills) {
    this.#news += 1;
    this.#known = backfills;
    this.#handlers.onList(backfills);
  }
}
