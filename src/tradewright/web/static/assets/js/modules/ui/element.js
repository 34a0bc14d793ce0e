/** Builds DOM nodes from data. Text is always text: nothing here ever parses markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes
 *   `onclick` and its kind take a function; `true` sets an empty attribute; false and null set none
 */

const FORBIDDEN = new Set(["style", "srcdoc"]);

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  dress(node, attributes);
  append(node, children);
  return node;
}

/**
 * @param {string} name of an SVG element
 * @param {Attributes} [attributes]
 * @param {...Child} children
 */
export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  dress(node, attributes);
  append(node, children);
  return node;
}

/** @param {string} name of a drawing in icons.svg; decorative, so hidden from assistive technology */
export function icon(name) {
  const use = svg("use", { href: `/static/assets/icons.svg#${name}` });
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, use);
}

/**
 * @param {Element} node
 * @param {...Child} children
 */
export function replace(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

/**
 * @template {Element} T
 * @param {string} selector
 * @param {new (...args: any[]) => T} type
 * @param {ParentNode} [root]
 * @returns {T}
 * @throws {Error} when the page's template does not have it
 */
export function find(selector, type, root = document) {
  const node = root.querySelector(selector);
  if (!(node instanceof type)) throw new Error(`The page has no ${selector}.`);
  return node;
}

/** @param {Element} node @param {Attributes} attributes */
function dress(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      if (!name.startsWith("on")) throw new Error(`${name} takes no function.`);
      node.addEventListener(name.slice(2), value);
      continue;
    }
    if (name.startsWith("on") || FORBIDDEN.has(name)) throw new Error(`${name} may not be set as text.`);
    if (name === "href" && /^\s*(javascript|data|vbscript):/i.test(String(value))) throw new Error("No script in links.");
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {Element} node @param {Child[]} children */
function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}
