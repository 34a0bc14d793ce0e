/** One timeframe of the coverage strip: drawn, read with the pointer or by keyboard, and selected from. */

import { blocksOf, describeRun, formatShare, KINDS, runsOf, totalsOf } from "../state/coverage.js";
import { fillOf } from "./coverageKey.js";
import { element, svg } from "./element.js";

/**
 * @import {StripItem, StripResponse} from "../net/protocol.js"
 * @import {Run, TimeWindow} from "../state/coverage.js"
 * @typedef {{
 *   onRead: (run: Run | null) => void,
 *   onPick: (run: Run) => void,
 *   onSelect: (window: TimeWindow) => void,
 *   onZoom: (factor: number, at: number) => void,
 *   formatTime: (ms: number) => string,
 * }} RowHandlers `onRead`: the stretch under the pointer or the keyboard; `onPick`: one was pressed; `onSelect`: a
 *   range was drawn
 */

const HEIGHT_PX = 34;
/** A press that moves less than this is a press. */
const DRAG_LEAST_PX = 5;

export class CoverageRow {
  #strip;
  #item;
  #runs;
  #handlers;
  #drawing = svg("svg", { "aria-hidden": "true", focusable: "false" });
  #mark = svg("rect", { class: "strip-mark", y: 1, height: HEIGHT_PX - 4, visibility: "hidden" });
  #selection = svg("rect", { class: "strip-selection", y: 0, height: HEIGHT_PX, visibility: "hidden" });
  #track;
  #root;
  #width = 0;
  #at = -1;
  /** Where a press began, while it lasts. @type {number | null} */
  #pressedAt = null;

  /**
   * @param {StripResponse} strip
   * @param {StripItem} item
   * @param {RowHandlers} handlers
   */
  constructor(strip, item, handlers) {
    this.#strip = strip;
    this.#item = item;
    this.#handlers = handlers;
    this.#runs = runsOf(strip, item);
    const totals = totalsOf(item);
    const expected = KINDS.reduce((sum, kind) => sum + totals[kind], 0);
    const share = expected === 0 ? "" : formatShare(1 - totals.missing / expected);
    this.#track = element(
      "div",
      {
        class: "strip-track",
        role: "slider",
        tabindex: 0,
        "data-timeframe": item.timeframe,
        "aria-label": `Coverage of ${item.timeframe} bars. Arrow keys go from stretch to stretch, Enter takes a missing one into the form`,
        "aria-valuemin": 1,
        "aria-valuemax": this.#runs.length,
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event),
        onfocus: () => this.#read(this.#at < 0 ? this.#runs.length - 1 : this.#at),
        onblur: () => this.#read(-1),
        onpointerdown: (/** @type {PointerEvent} */ event) => this.#onDown(event),
        onpointermove: (/** @type {PointerEvent} */ event) => this.#onMove(event),
        onpointerup: (/** @type {PointerEvent} */ event) => this.#onUp(event),
        onpointercancel: () => this.#drop(),
        onpointerleave: () => this.#pressedAt === null && !this.#focused && this.#read(-1),
      },
      this.#drawing,
    );
    this.#describe(this.#runs.length - 1);
    this.#root = element(
      "div",
      { class: "strip-row" },
      element("span", { class: "strip-name", "aria-hidden": "true" }, item.timeframe),
      this.#track,
      element("span", { class: "strip-share", title: "Known of what is expected" }, share),
    );
  }

  get node() {
    return this.#root;
  }

  /** @returns {readonly Run[]} */
  get runs() {
    return this.#runs;
  }

  get timeframe() {
    return this.#item.timeframe;
  }

  /** @returns {number} px of the track, once it is on the page */
  get width() {
    return this.#track.clientWidth;
  }

  /** Whether a range is being drawn. */
  get isHeld() {
    return this.#pressedAt !== null;
  }

  /** @returns {number | null} the time at which the keyboard stands, where it is in this row */
  get cursor() {
    return this.#focused ? (this.#runs[this.#at]?.start ?? null) : null;
  }

  /** Takes the keyboard to the stretch of that time. @param {number} time */
  focusAt(time) {
    const at = this.#runs.findIndex(({ start, end }) => start <= time && time < end);
    this.#at = at < 0 ? this.#runs.length - 1 : at;
    this.#track.focus();
  }

  get trackLeft() {
    return this.#track.offsetLeft;
  }

  /** Draws the row to the width it has now. */
  draw() {
    const width = this.width;
    if (width === this.#width || width === 0) return;
    this.#width = width;
    const x = (/** @type {number} */ part) => ((part * width) / this.#strip.buckets).toFixed(2);
    const blocks = blocksOf(this.#item);
    const paths = KINDS.map((kind) => {
      const d = blocks[kind].map(({ from, to, bottom, top }) => {
        const [upper, lower] = [((1 - top) * HEIGHT_PX).toFixed(1), ((1 - bottom) * HEIGHT_PX).toFixed(1)];
        return `M${x(from)} ${upper}H${x(to)}V${lower}H${x(from)}z`;
      });
      return svg("path", { d: d.join(""), fill: fillOf(kind), "data-kind": kind });
    });
    this.#drawing.replaceChildren(...paths, this.#mark, this.#selection);
  }

  get #focused() {
    return document.activeElement === this.#track;
  }

  /** @param {number} index of a run; -1 for none */
  #read(index) {
    const run = this.#runs[index];
    if (run) this.#at = index;
    this.#mark.setAttribute("visibility", run ? "visible" : "hidden");
    if (run) {
      const scale = this.#width / this.#strip.buckets;
      this.#mark.setAttribute("x", String(run.first * scale + 1));
      this.#mark.setAttribute("width", String(Math.max(2, (run.last - run.first) * scale - 2)));
      this.#describe(index);
    }
    this.#handlers.onRead(run ?? null);
  }

  /** @param {number} index */
  #describe(index) {
    const run = this.#runs[index];
    if (!run) return;
    const { formatTime } = this.#handlers;
    this.#track.setAttribute("aria-valuenow", String(index + 1));
    this.#track.setAttribute("aria-valuetext", `${formatTime(run.start)} to ${formatTime(run.end)}: ${describeRun(run)}`);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const last = this.#runs.length - 1;
    const to = { ArrowLeft: this.#at - 1, ArrowRight: this.#at + 1, ArrowDown: this.#at - 1, ArrowUp: this.#at + 1, Home: 0, End: last }[event.key];
    const run = this.#runs[this.#at];
    if (to !== undefined) this.#read(Math.max(0, Math.min(last, to)));
    else if (event.key === "Enter" && run) this.#handlers.onPick(run);
    else if ((event.key === "+" || event.key === "-") && run) this.#handlers.onZoom(event.key === "+" ? 0.5 : 2, (run.start + run.end) / 2);
    else return;
    event.preventDefault();
  }

  /** @param {PointerEvent} event @returns {number} px from the left of the track, inside it */
  #place(event) {
    const { left, width } = this.#drawing.getBoundingClientRect();
    return Math.max(0, Math.min(width - 0.01, event.clientX - left));
  }

  /** @param {PointerEvent} event */
  #onDown(event) {
    if (event.button !== 0) return;
    this.#pressedAt = this.#place(event);
    this.#track.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #onMove(event) {
    const place = this.#place(event);
    const part = Math.floor((place / Math.max(1, this.#width)) * this.#strip.buckets);
    this.#read(this.#runs.findIndex(({ first, last }) => first <= part && part < last));
    if (this.#pressedAt === null) return;
    const [from, to] = [Math.min(this.#pressedAt, place), Math.max(this.#pressedAt, place)];
    this.#selection.setAttribute("visibility", to - from >= DRAG_LEAST_PX ? "visible" : "hidden");
    this.#selection.setAttribute("x", String(from));
    this.#selection.setAttribute("width", String(to - from));
  }

  /** @param {PointerEvent} event */
  #onUp(event) {
    if (this.#pressedAt === null) return;
    const [from, to] = [this.#pressedAt, this.#place(event)].toSorted((a, b) => a - b);
    this.#onMove(event);
    this.#drop();
    if (from === undefined || to === undefined) return;
    const { start, end } = this.#strip;
    const time = (/** @type {number} */ px) => start + (px / Math.max(1, this.#width)) * (end - start);
    const run = this.#runs[this.#at];
    if (to - from >= DRAG_LEAST_PX) this.#handlers.onSelect({ start: time(from), end: time(to) });
    else if (run) this.#handlers.onPick(run);
  }

  #drop() {
    this.#pressedAt = null;
    this.#selection.setAttribute("visibility", "hidden");
  }
}
