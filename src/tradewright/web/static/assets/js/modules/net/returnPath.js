/** Addresses of this server alone, and where a login leads to: back to the page that asked for it, never to another site. */

const PARAMETER = "next";
/** Browsers read "//host" and "/\host" as another host, and drop tabs and line ends before they look. */
export const OWN_PATH = /^\/(?![/\\])[\x20-\x7e]*$/;
const LOGIN_PAGES = new Set(["/login", "/register"]);

/**
 * @param {string} search a query string
 * @param {string} origin of this page
 * @returns {string} a path of this origin with its query; "/" where none is named, or another site is
 */
export function returnPath(search, origin) {
  const wanted = new URLSearchParams(search).get(PARAMETER) ?? "/";
  if (!OWN_PATH.test(wanted)) return "/";
  let url;
  try {
    url = new URL(wanted, origin);
  } catch {
    return "/";
  }
  if (url.origin !== origin || LOGIN_PAGES.has(url.pathname)) return "/";
  const path = url.pathname + url.search + url.hash;
  // "/..//host" has become "//host" by now.
  return OWN_PATH.test(path) ? path : "/";
}

/** @param {string} page a login page @param {string} here where to come back to @returns {string} */
export function withReturn(page, here) {
  const path = here.split(/[?#]/)[0] ?? "";
  if (here === "/" || LOGIN_PAGES.has(path)) return page;
  return `${page}?${new URLSearchParams({ [PARAMETER]: here }).toString().replaceAll("%2F", "/")}`;
}
