/** What is known of an instrument over time: a row for each timeframe, an axis, and a window to look through. */

import { describeRun, inside, KIND_WORDS, moved, namedWindow, zoomed } from "../state/coverage.js";
import { formatBarTime, localZone } from "../state/format.js";
import { timeTicks } from "../state/timeAxis.js";
import { legend, patterns } from "./coverageKey.js";
import { CoverageRow } from "./coverageRow.js";
import { element, replace, svg } from "./element.js";

/**
 * @import {StripResponse} from "../net/protocol.js"
 * @import {Run, TimeWindow, WindowName} from "../state/coverage.js"
 * @import {Zone} from "../state/timeAxis.js"
 * @typedef {{onWindow: (window: TimeWindow | null) => void, onPick: (run: Run) => void}} StripHandlers
 *   `onWindow`: another window is wanted, null for everything; `onPick`: a stretch was pressed
 */

const PX_PER_TICK = 78;
const TABLE_ROWS_MAX = 300;
const HINT = "Point at the strip, or reach it with Tab and the arrow keys, to read it. Press a missing stretch to fetch it; drag to look closer.";

/** @type {[WindowName, string][]} */
const WINDOWS = [
  ["year", "Year"],
  ["month", "Month"],
  ["week", "Week"],
  ["day", "Day"],
];

export class CoverageStrip {
  #handlers;
  #rowsPlace = element("div", { class: "strip-rows" });
  #axis = svg("svg", { "aria-hidden": "true", focusable: "false" });
  #readout = element("p", { class: "strip-readout" });
  #tableSummary = element("summary", {}, "As a table");
  #table = element("div", { class: "strip-scroll", tabindex: 0, role: "region", "aria-label": "Coverage as a table" });
  #details = element("details", { ontoggle: () => this.#fillTable() }, this.#tableSummary, this.#table);
  #root;
  #resized;
  #all;
  /** @type {CoverageRow[]} */
  #rows = [];
  /** @type {StripResponse | null} */
  #strip = null;
  /** @type {TimeWindow} */
  #bounds = { start: 0, end: 1 };
  /** @type {Zone} */
  #zone = "browser";
  #ticksAt = "";

  /** @param {StripHandlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
    const tool = (/** @type {string} */ face, /** @type {string} */ label, /** @type {() => void} */ press) =>
      element("button", { type: "button", class: "tool", "aria-label": label, title: label, onclick: press }, face);
    const windows = WINDOWS.map(([name, word]) =>
      element("button", { type: "button", class: "tool tool-text", "data-window": name, onclick: () => this.#look((shown) => namedWindow(name, shown, this.#bounds)) }, word),
    );
    this.#all = element("button", { type: "button", class: "tool tool-text", "data-window": "all", onclick: () => handlers.onWindow(null) }, "All");
    const tools = element(
      "div",
      { class: "tool-group", role: "group", "aria-label": "What part is shown" },
      this.#all,
      ...windows,
      tool("‹", "Earlier", () => this.#look((shown) => moved(shown, -0.5, this.#bounds))),
      tool("›", "Later", () => this.#look((shown) => moved(shown, 0.5, this.#bounds))),
      tool("+", "Look closer", () => this.#look((shown) => zoomed(shown, 0.5, this.#bounds))),
      tool("−", "Look from farther", () => this.#look((shown) => zoomed(shown, 2, this.#bounds))),
    );
    this.#root = element(
      "div",
      { class: "strip" },
      patterns(),
      element("div", { class: "strip-tools" }, tools, legend()),
      element("div", {}, this.#rowsPlace, element("div", { class: "strip-axis" }, this.#axis)),
      this.#readout,
      this.#details,
    );
    this.#resized = new ResizeObserver(() => this.#draw());
    this.#resized.observe(this.#rowsPlace);
    this.#read(null);
  }

  get node() {
    return this.#root;
  }

  /** Whether somebody is drawing a range on it, which showing another strip would end. */
  get isHeld() {
    return this.#rows.some((row) => row.isHeld);
  }

  /** @param {boolean} busy another window is being read */
  setBusy(busy) {
    this.#root.setAttribute("aria-busy", String(busy));
  }

  /**
   * @param {StripResponse} strip
   * @param {TimeWindow} bounds everything that can be looked at
   * @param {Zone} zone
   */
  show(strip, bounds, zone) {
    this.setBusy(false);
    const held = this.#rows.find((row) => row.cursor !== null);
    const cursor = held?.cursor ?? null;
    this.#strip = strip;
    this.#bounds = bounds;
    this.#zone = zone;
    this.#all.setAttribute("aria-pressed", String(strip.start <= bounds.start && strip.end >= bounds.end));
    this.#rows = strip.items.map(
      (item) =>
        new CoverageRow(strip, item, {
          onRead: (run) => this.#read(run, item.timeframe),
          onPick: (run) => this.#handlers.onPick(run),
          onSelect: (wanted) => this.#handlers.onWindow(inside(wanted, bounds)),
          onZoom: (factor, at) => this.#look((shown) => zoomed(shown, factor, bounds, at)),
          formatTime: (ms) => this.#time(ms),
        }),
    );
    replace(this.#rowsPlace, ...this.#rows.map((row) => row.node));
    this.#ticksAt = "";
    this.#draw();
    this.#read(null);
    if (cursor !== null) this.#rows.find((row) => row.timeframe === held?.timeframe)?.focusAt(cursor);
    this.#fillTable();
  }

  destroy() {
    this.#resized.disconnect();
    this.#root.remove();
  }

  /** @param {(shown: TimeWindow) => TimeWindow} choose */
  #look(choose) {
    if (this.#strip) this.#handlers.onWindow(choose(this.#strip));
  }

  /** @param {number} ms */
  #time(ms) {
    const zone = this.#zone === "utc" ? "UTC" : localZone();
    return formatBarTime(ms, zone, false);
  }

  #draw() {
    for (const row of this.#rows) row.draw();
    const [first] = this.#rows;
    const strip = this.#strip;
    if (!first || !strip) return;
    const { width, trackLeft } = first;
    const left = trackLeft - this.#rowsPlace.offsetLeft;
    const key = `${width} ${left}`;
    if (key === this.#ticksAt || width === 0) return;
    this.#ticksAt = key;
    const ticks = timeTicks(strip.start, strip.end, Math.max(2, Math.floor(width / PX_PER_TICK)), this.#zone);
    const marks = ticks.flatMap(({ time, label }) => {
      const x = left + ((time - strip.start) / (strip.end - strip.start)) * width;
      const anchor = x > left + width - 30 ? "end" : x < left + 24 ? "start" : "middle";
      return [svg("line", { x1: x, x2: x, y1: 0, y2: 5 }), svg("text", { x, y: 17, "text-anchor": anchor }, label)];
    });
    this.#axis.replaceChildren(...marks);
  }

  /** @param {Run | null} run @param {string} [timeframe] */
  #read(run, timeframe = "") {
    if (!run) {
      replace(this.#readout, element("span", { class: "hint" }, this.#strip?.items.length === 0 ? "" : HINT));
      return;
    }
    replace(
      this.#readout,
      element("strong", {}, `${timeframe} · ${describeRun(run)}`),
      element("span", { class: "muted" }, `${this.#time(run.start)} – ${this.#time(run.end)}`),
    );
  }

  #fillTable() {
    if (!this.#details.open) return;
    const all = this.#rows.flatMap((row) => row.runs.map((run) => ({ run, timeframe: row.timeframe })));
    const expected = all.filter(({ run }) => run.kind !== "none");
    const rows = expected.slice(-TABLE_ROWS_MAX).map(({ run, timeframe }) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, timeframe),
        element("td", {}, KIND_WORDS[run.kind]),
        element("td", {}, this.#time(run.start)),
        element("td", {}, this.#time(run.end)),
        element("td", {}, describeRun(run)),
      ),
    );
    const head = ["Timeframe", "State", "From", "To", "What is known"].map((name) => element("th", { scope: "col" }, name));
    const cut = expected.length > TABLE_ROWS_MAX && element("p", { class: "hint" }, `The last ${TABLE_ROWS_MAX} stretches; look closer for the others.`);
    replace(this.#table, cut, element("table", { class: "table" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
  }
}
