/** The controls over the chart. They change preferences and tell the page what was chosen. */

import { INDICATORS } from "../modules/chart/indicators.js";
import { readPreferences, savePreferences } from "../modules/state/preferences.js";
import { ChoiceMenu } from "../modules/ui/choiceMenu.js";
import { element, find, icon } from "../modules/ui/element.js";
import { IndicatorPicker } from "../modules/ui/indicatorPicker.js";
import { SourcePickers } from "../modules/ui/sourcePickers.js";
import { TimeframePicker } from "../modules/ui/timeframePicker.js";

/**
 * @import {DataService, SymbolAddress} from "../modules/data/dataService.js"
 * @import {ChartType, IndicatorChoice, Preferences} from "../modules/state/preferences.js"
 * @import {Choice} from "../modules/ui/choiceMenu.js"
 *
 * @typedef {{
 *   onAddress: (address: SymbolAddress) => void,
 *   onTimeframe: (id: string) => void,
 *   onChartType: (type: ChartType) => void,
 *   onIndicators: (chosen: IndicatorChoice[]) => void,
 *   onAxis: (axis: Preferences["axis"]) => void,
 *   onZone: (zone: Preferences["zone"]) => void,
 *   onSide: (visible: boolean) => void,
 *   onScreenshot: () => void,
 *   onLatest: () => void,
 * }} ToolbarHandlers
 */

/** @type {Choice<ChartType>[]} */
const CHART_TYPES = [
  { value: "candle_solid", label: "Candles", icon: "candles" },
  { value: "candle_up_stroke", label: "Hollow candles", icon: "hollow" },
  { value: "ohlc", label: "Bars", icon: "bars" },
  { value: "area", label: "Area", icon: "area" },
];

/** @type {Choice<Preferences["zone"]>[]} */
const ZONES = [
  { value: "browser", label: "Local" },
  { value: "utc", label: "UTC" },
];

export class ChartToolbar {
  sources;
  timeframes;
  #parts;

  /**
   * @param {DataService} service
   * @param {ToolbarHandlers} handlers
   */
  constructor(service, handlers) {
    const known = readPreferences();
    this.sources = new SourcePickers(service, { prefix: "chart", onSelect: handlers.onAddress });
    this.timeframes = new TimeframePicker(known.favourites, {
      onSelect: handlers.onTimeframe,
      onFavourites: (favourites) => savePreferences({ favourites }),
    });
    const type = new ChoiceMenu({
      label: "Chart type",
      choices: CHART_TYPES,
      selected: known.chartType,
      onSelect: (chartType) => {
        savePreferences({ chartType });
        handlers.onChartType(chartType);
      },
    });
    const indicators = new IndicatorPicker(INDICATORS, known.indicators, (chosen) => {
      savePreferences({ indicators: chosen });
      handlers.onIndicators(chosen);
    });
    const zone = new ChoiceMenu({
      label: "Time zone",
      choices: ZONES,
      selected: known.zone,
      onSelect: (chosen) => {
        savePreferences({ zone: chosen });
        handlers.onZone(chosen);
      },
    });
    this.#parts = [this.sources, this.timeframes, type, indicators, zone];
    const separator = () => element("span", { class: "toolbar-sep", "aria-hidden": "true" });
    find("#toolbar", HTMLElement).append(
      this.sources.node,
      separator(),
      this.timeframes.node,
      separator(),
      type.node,
      indicators.node,
      element("div", { class: "toolbar-end" }, ...this.#end(known, handlers), zone.node, ...this.#last(known, handlers)),
    );
  }

  destroy() {
    for (const part of this.#parts) part.destroy();
  }

  /** @param {Preferences} known @param {ToolbarHandlers} handlers */
  #end(known, { onAxis }) {
    const log = toggle("log", "Logarithmic price axis", known.axis === "logarithm", (pressed) => {
      const axis = pressed ? "logarithm" : "normal";
      savePreferences({ axis });
      onAxis(axis);
    });
    return [log];
  }

  /** @param {Preferences} known @param {ToolbarHandlers} handlers */
  #last(known, { onScreenshot, onLatest, onSide }) {
    const side = toggle(icon("panel"), "Order book and trades", known.sidePanel, (sidePanel) => {
      savePreferences({ sidePanel });
      onSide(sidePanel);
    });
    return [
      press("latest", "Scroll to the latest bar", onLatest),
      press("camera", "Save a picture of the chart", onScreenshot),
      side,
    ];
  }
}

/** @param {string} drawing @param {string} label @param {() => void} onclick */
function press(drawing, label, onclick) {
  return element("button", { type: "button", class: "tool", title: label, "aria-label": label, onclick }, icon(drawing));
}

/**
 * @param {Node | string} face
 * @param {string} label
 * @param {boolean} pressed
 * @param {(pressed: boolean) => void} onChange
 */
function toggle(face, label, pressed, onChange) {
  const button = element(
    "button",
    {
      type: "button",
      class: "tool tool-text",
      title: label,
      "aria-label": label,
      "aria-pressed": String(pressed),
      onclick: () => {
        const next = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(next));
        onChange(next);
      },
    },
    face,
  );
  return button;
}
