/** Where the pages' modules are, for the tests beside this file. */

const BASE = new URL("../../src/tradewright/web/static/assets/js/modules/", import.meta.url);

/** @param {string} path inside the modules folder */
export function load(path) {
  return import(new URL(path, BASE).href);
}
