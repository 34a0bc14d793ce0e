/**
 * Saves files of the server. A link can show no token, so where the server keeps market data for people who are
 * logged in, the page fetches the file and hands it to the browser; elsewhere the browser fetches it by itself.
 */

import { ApiError } from "../net/errors.js";
import { readProblem } from "../net/problems.js";

/**
 * @typedef {{
 *   isSomebody: () => boolean,
 *   isClosed: () => Promise<boolean>,
 *   fetch: (url: string, init: RequestInit) => Promise<Response>,
 *   hand: (url: string, name: string) => void,
 *   keep: (blob: Blob) => string,
 * }} FileSaverPorts
 *   `isSomebody`: whether a login of this page is known or looked for; `isClosed`: whether market data need one;
 *   `fetch` shows it; `hand` saves what an address stands for, `keep` makes an address for what was fetched
 */

/** Of a file that the page fetches: the browser keeps it, on disk where it is large, until it is whole. */
export const FETCHED_BYTES_MAX = 512 * 1024 * 1024;
const DEADLINE_MS = 1_800_000;

export class FileSaver {
  #ports;
  #maxBytes;
  #ended = new AbortController();
  /** @type {boolean | null} */
  #closed = null;

  /** @param {FileSaverPorts} ports @param {number} [maxBytes] */
  constructor(ports, maxBytes = FETCHED_BYTES_MAX) {
    this.#ports = ports;
    this.#maxBytes = maxBytes;
  }

  /** Whether a plain link may need help. */
  get needed() {
    return this.#ports.isSomebody() && this.#closed !== false;
  }

  /**
   * @param {string} url on this server
   * @param {(bytes: number) => void} onBytes how much is there so far
   * @returns {Promise<void>} resolved when the browser has it, or fetches it
   * @throws {ApiError} also where the file is larger than a page fetches
   */
  async save(url, onBytes) {
    this.#closed ??= await this.#ports.isClosed();
    if (!this.#closed) {
      this.#ports.hand(url, "");
      return;
    }
    const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(DEADLINE_MS)]);
    const response = await this.#ports.fetch(url, { signal }).catch((error) => {
      throw error instanceof ApiError ? error : new ApiError("network", "The server cannot be reached.");
    });
    if (!response.ok) throw await readProblem(response);
    const blob = await this.#read(response, onBytes);
    if (this.#ended.signal.aborted) return;
    this.#ports.hand(this.#ports.keep(blob), nameOf(response));
  }

  destroy() {
    this.#ended.abort();
  }

  /** @param {Response} response @param {(bytes: number) => void} onBytes */
  async #read({ body, headers }, onBytes) {
    const max = this.#maxBytes;
    let bytes = 0;
    /** @type {TransformStream<Uint8Array, Uint8Array>} */
    const counted = new TransformStream({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        if (bytes > max) throw new Error("too large");
        onBytes(bytes);
        controller.enqueue(chunk);
      },
    });
    try {
      const type = headers.get("Content-Type") ?? "";
      return await new Response(body?.pipeThrough(counted) ?? null, { headers: { "Content-Type": type } }).blob();
    } catch {
      throw bytes > max ? new ApiError("too_large", tooLarge(max)) : new ApiError("network", "The file broke off.");
    }
  }
}

/** @param {number} max */
function tooLarge(max) {
  const size = `${Math.round(max / 1024 / 1024)} MB`;
  return `The file is larger than the ${size} that a page can fetch with a login. Choose a shorter range, or fetch it with an API token.`;
}

/** @param {Response} response */
function nameOf({ headers }) {
  return /filename="([^"]+)"/.exec(headers.get("Content-Disposition") ?? "")?.[1] ?? "bars";
}
