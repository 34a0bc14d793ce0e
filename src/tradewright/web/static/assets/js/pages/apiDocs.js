/** The API's description, read from the server's OpenAPI document. */

import { asApiError } from "../modules/net/errors.js";
import { getJson } from "../modules/net/http.js";
import { element, find, replace } from "../modules/ui/element.js";
import { limits, resolve, schemaView, typeName } from "../modules/ui/schemaView.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";

/**
 * @import {Schema} from "../modules/ui/schemaView.js"
 * @typedef {{method: string, path: string, id: string, operation: Schema}} Operation
 */

const DOCUMENT = "/api/v1/openapi.json";
const METHODS = ["get", "post", "put", "patch", "delete"];

async function start() {
  const toggle = new ThemeToggle(() => undefined);
  globalThis.addEventListener("pagehide", (left) => left.persisted || toggle.destroy());
  const place = find("#docs", HTMLElement);
  try {
    /** @type {Schema} */
    const root = await getJson(DOCUMENT);
    render(place, root);
  } catch (error) {
    const retry = element("button", { type: "button", class: "button", onclick: () => location.reload() }, "Retry");
    replace(place, element("h1", {}, "API"), element("p", { class: "empty" }, asApiError(error).message), retry);
  }
  place.removeAttribute("aria-busy");
}

/** @param {HTMLElement} place @param {Schema} root */
function render(place, root) {
  const groups = byGroup(operationsOf(root));
  replace(
    place,
    element("h1", {}, root.info?.title ?? "API"),
    element("p", { class: "hint" }, `Version ${root.info?.version ?? "unknown"} · OpenAPI ${root.openapi} · `, documentLink(root)),
    root.info?.description && element("p", { class: "docs-lead" }, root.info.description),
    ...[...groups].flatMap(([name, operations]) => [
      element("h2", { class: "docs-group" }, name),
      ...operations.map((operation) => operationView(operation, root)),
    ]),
  );
  replace(find("#docs-nav", HTMLElement), ...[...groups].map(([name, operations]) => navGroup(name, operations)));
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

/** The address itself wants the token, which a link doesn’t send. @param {Schema} root */
function documentLink(root) {
  const file = new Blob([JSON.stringify(root, null, 2)], { type: "application/json" });
  return element("a", { href: URL.createObjectURL(file), download: "openapi.json" }, "the document");
}

/** @param {Schema} root @returns {Operation[]} */
function operationsOf(root) {
  return Object.entries(root.paths ?? {}).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({
      method,
      path,
      id: `${method}${path.replaceAll(/[^a-z0-9]+/gi, "-")}`,
      operation: item[method],
    })),
  );
}

/** @param {Operation[]} operations @returns {Map<string, Operation[]>} by their tag, else by the first word of the path */
function byGroup(operations) {
  return Map.groupBy(operations, ({ operation, path }) => operation.tags?.[0] ?? path.replace("/api/v1", "").split("/")[1] ?? "other");
}

/** @param {string} name @param {Operation[]} operations */
function navGroup(name, operations) {
  const links = operations.map(({ id, method, path }) =>
    element("li", {}, element("a", { href: `#${id}` }, verb(method), " ", path.replace("/api/v1", ""))),
  );
  return element("section", {}, element("h2", {}, name), element("ul", {}, ...links));
}

/** @param {Operation} item @param {Schema} root */
function operationView({ id, method, path, operation }, root) {
  const { summary, description, parameters, requestBody, responses } = operation;
  const body = resolve(requestBody, root).content?.["application/json"]?.schema;
  return element(
    "section",
    { id, class: "operation" },
    element("h3", {}, verb(method), " ", element("span", { class: "code" }, path)),
    summary && element("p", { class: "operation-summary" }, ...prose(summary)),
    description && description !== summary && element("p", { class: "docs-lead" }, ...prose(description)),
    Array.isArray(parameters) && parameters.length > 0 && parametersView(parameters, root),
    body && element("div", {}, element("h4", {}, "Body"), schemaView(body, root)),
    element("h4", {}, "Answers"),
    ...Object.entries(responses ?? {}).map(([status, response]) => answerView(status, resolve(response, root), root)),
  );
}

/** @param {Schema[]} parameters @param {Schema} root */
function parametersView(parameters, root) {
  const rows = parameters.map((given) => {
    const { name, required, in: where, schema, description } = resolve(given, root);
    const notes = [description, ...limits(resolve(schema, root))].filter(Boolean).join(", ");
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("span", { class: "code" }, name), required ? "" : element("span", { class: "muted" }, "?")),
      element("td", {}, where),
      element("td", { class: "type" }, typeName(schema)),
      element("td", { class: "muted notes" }, notes),
    );
  });
  return element("table", { class: "docs-table", "aria-label": "Parameters" }, element("tbody", {}, ...rows));
}

/** @param {string} status @param {Schema} response @param {Schema} root */
function answerView(status, response, root) {
  const kinds = Object.values(response.content ?? {});
  const schema = kinds[0]?.schema;
  const tone = status.startsWith("2") ? "up" : "down";
  return element(
    "details",
    { class: "answer" },
    element("summary", {}, element("span", { class: `code ${tone}` }, status), " ", ...prose(response.description ?? "")),
    schema ? schemaView(schema, root) : element("p", { class: "hint" }, "No body is described."),
  );
}

/** Text with the names that its author marked. @param {string} text */
function prose(text) {
  return text.split(/`+/).map((part, index) => (index % 2 === 1 ? element("span", { class: "code" }, part) : part));
}

/** @param {string} method */
function verb(method) {
  return element("span", { class: `verb verb-${method}` }, method.toUpperCase());
}

start();
