/** A list that the server gives page by page. */

/** @import {Page} from "../net/answers.js" */

/** What was loaded of it. Of several loads at once only the last one counts: a button that is pressed twice adds
 * one page, and what is loaded anew does not get older pages behind it. @template T */
export class PagedList {
  /** @type {T[]} */
  items = [];
  /** @type {string | null} */
  #cursor = null;
  #loads = 0;
  #fetch;

  /** @param {(cursor: string | null) => Promise<Page<T>>} fetch the page behind a cursor, or the first one */
  constructor(fetch) {
    this.#fetch = fetch;
  }

  /** Whether there is more than was loaded. */
  get hasMore() {
    return this.#cursor !== null;
  }

  /** How many there are, as far as is known. */
  get count() {
    return `${this.items.length}${this.hasMore ? "+" : ""}`;
  }

  /**
   * Load the list anew, or the page behind what is there; raises what the fetching raises.
   * @param {boolean} [further] @returns {Promise<boolean>} false where another load has begun meanwhile
   */
  async load(further = false) {
    const load = ++this.#loads;
    try {
      const { items, next_cursor: next } = await this.#fetch(further ? this.#cursor : null);
      if (load !== this.#loads) return false;
      this.items = further ? [...this.items, ...items] : items;
      this.#cursor = next ?? null;
      return true;
    } catch (error) {
      if (load !== this.#loads) return false;
      throw error;
    }
  }
}
