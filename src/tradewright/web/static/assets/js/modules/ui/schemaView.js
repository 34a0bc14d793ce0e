/** Says in words what a JSON Schema of the API's description asks for. */

import { element } from "./element.js";

/** @typedef {Record<string, any>} Schema as the description holds it; its shape is JSON Schema's */

const DEPTH_MAX = 6;

/**
 * @param {Schema | undefined} schema
 * @param {Schema} root of the document, for references
 * @returns {Schema}
 */
export function resolve(schema, root) {
  const pointer = schema?.$ref;
  if (typeof pointer !== "string" || !pointer.startsWith("#/")) return schema ?? {};
  let place = /** @type {any} */ (root);
  for (const part of pointer.slice(2).split("/")) place = place?.[part];
  return place ?? {};
}

/**
 * A type in one line: `string`, `integer | null`, `array of Bar`.
 *
 * @param {Schema | undefined} schema
 * @returns {string}
 */
export function typeName(schema) {
  if (!schema) return "any";
  if (typeof schema.$ref === "string") return schema.$ref.split("/").pop() ?? "any";
  const options = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(options)) return [...new Set(options.map(typeName))].join(" | ");
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") {
    if (Array.isArray(schema.prefixItems)) return `[${schema.prefixItems.map(typeName).join(", ")}]`;
    return `array of ${typeName(schema.items)}`;
  }
  return Array.isArray(schema.type) ? schema.type.join(" | ") : (schema.type ?? "any");
}

/** Bounds and default of a value, in words. @param {Schema} schema */
export function limits(schema) {
  const words = [
    ["minimum", "at least"],
    ["exclusiveMinimum", "more than"],
    ["maximum", "at most"],
    ["minLength", "length from"],
    ["maxLength", "length up to"],
    ["pattern", "matches"],
    ["default", "default"],
  ];
  return words.flatMap(([name, word]) => {
    const value = schema[/** @type {string} */ (name)];
    return value === undefined || value === null ? [] : [`${word} ${typeof value === "string" ? value : JSON.stringify(value)}`];
  });
}

/**
 * The fields of an object as a nested list; references are followed to a depth of six.
 *
 * @param {Schema | undefined} schema
 * @param {Schema} root
 * @param {number} [depth]
 * @returns {Node}
 */
export function schemaView(schema, root, depth = 0) {
  const whole = resolve(schema, root);
  if (whole.type === "array" && whole.items) {
    return element("div", {}, element("span", { class: "type" }, typeName(whole)), depth < DEPTH_MAX && inner(whole.items, root, depth));
  }
  const fields = Object.entries(whole.properties ?? {});
  if (fields.length === 0) return element("span", { class: "type" }, typeName(schema));
  const required = new Set(whole.required ?? []);
  return element("ul", { class: "schema" }, ...fields.map(([name, field]) => fieldView(name, field, required.has(name), root, depth)));
}

/** @param {Schema} schema @param {Schema} root @param {number} depth */
function inner(schema, root, depth) {
  const whole = resolve(schema, root);
  return whole.properties || whole.items?.$ref ? schemaView(schema, root, depth + 1) : null;
}

/**
 * @param {string} name
 * @param {Schema} field
 * @param {boolean} required
 * @param {Schema} root
 * @param {number} depth
 */
function fieldView(name, field, required, root, depth) {
  const nested = field.type === "array" ? field.items : field;
  const notes = limits(field).join(", ");
  return element(
    "li",
    {},
    element("span", { class: "code" }, name),
    required ? null : element("span", { class: "muted" }, "?"),
    " ",
    element("span", { class: "type" }, typeName(field)),
    notes && element("span", { class: "muted" }, ` ${notes}`),
    field.description && element("span", { class: "muted" }, ` ${field.description}`),
    depth < DEPTH_MAX && nested && inner(nested, root, depth),
  );
}
