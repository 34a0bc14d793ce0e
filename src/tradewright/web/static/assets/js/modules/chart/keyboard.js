/** The chart by keyboard: arrows move it, plus and minus zoom, End goes to the newest bar. */

/** @import {Chart} from "klinecharts" */

const STEP_PX = 80;
const ZOOM_IN = 1.25;
const ZOOM_OUT = 0.8;

/**
 * @param {HTMLElement} container of the chart, which can be focused
 * @param {Chart} chart
 * @param {AbortSignal} signal ends it
 */
export function listenForKeys(container, chart, signal) {
  // The library makes its own element the very first stop of the page, without a name.
  for (const own of container.querySelectorAll("[tabindex]")) own.removeAttribute("tabindex");
  /** @type {Record<string, () => void>} */
  const actions = {
    ArrowLeft: () => chart.scrollByDistance(STEP_PX),
    ArrowRight: () => chart.scrollByDistance(-STEP_PX),
    End: () => chart.scrollToRealTime(),
    "+": () => chart.zoomAtCoordinate(ZOOM_IN),
    "=": () => chart.zoomAtCoordinate(ZOOM_IN),
    "-": () => chart.zoomAtCoordinate(ZOOM_OUT),
  };
  container.addEventListener(
    "keydown",
    (pressed) => {
      const known = Object.hasOwn(actions, pressed.key);
      if (!known || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
      pressed.preventDefault();
      actions[pressed.key]?.();
    },
    { signal },
  );
}
