/** How the pages' modules are checked: the layers, no markup from strings, no loose ends. */

import path from "node:path";

const ROOT = "src/tradewright/web/static/assets/js";

/** Lowest first. A module may import from its own folder and from any lower layer, never beside or up. */
const LAYERS = [["modules/net", "modules/state"], ["modules/data"], ["modules/chart", "modules/ui"], ["pages"]];

const HTML_SINKS = ["innerHTML", "outerHTML", "insertAdjacentHTML", "srcdoc"];

/** @param {string} file */
function placeOf(file) {
  const relative = path.relative(path.resolve(import.meta.dirname, ROOT), file).split(path.sep).join("/");
  for (const [rank, folders] of LAYERS.entries()) {
    const folder = folders.find((name) => relative.startsWith(`${name}/`));
    if (folder) return { rank, folder };
  }
  return null;
}

const layers = {
  meta: { type: "problem", schema: [], messages: { up: "{{from}} may not import from {{to}}.", bare: "Import by a relative path that ends in .js." } },
  create(context) {
    const here = placeOf(context.filename);
    /** @param {{source: {value: unknown} | null}} node */
    const check = (node) => {
      const source = node.source?.value;
      if (typeof source !== "string" || !here) return;
      if (!/^\.\.?\/.*\.js$/.test(source)) {
        context.report({ node, messageId: "bare" });
        return;
      }
      const there = placeOf(path.resolve(path.dirname(context.filename), source));
      const allowed = there && (there.folder === here.folder || there.rank < here.rank);
      if (!allowed) context.report({ node, messageId: "up", data: { from: here.folder, to: there?.folder ?? source } });
    };
    return { ImportDeclaration: check, ExportNamedDeclaration: check, ExportAllDeclaration: check, ImportExpression: (node) => check({ ...node, source: node.source }) };
  },
};

const chartLibrary = {
  meta: { type: "problem", schema: [], messages: { only: "Only modules/chart/library.js may reach for the chart library's global." } },
  create(context) {
    if (context.filename.endsWith("/modules/chart/library.js")) return {};
    return { "Identifier[name='klinecharts']": (node) => context.report({ node, messageId: "only" }) };
  },
};

const browserGlobals = [
  "AbortController", "AbortSignal", "Blob", "BroadcastChannel", "CustomEvent", "Document", "Element", "Event", "HTMLButtonElement", "HTMLElement", "HTMLInputElement", "Headers", "Image", "Node",
  "ResizeObserver", "Response", "TransformStream", "URL", "URLSearchParams", "WebSocket", "atob", "cancelAnimationFrame", "clearInterval",
  "clearTimeout", "document", "fetch", "getComputedStyle", "history", "localStorage", "location", "matchMedia", "navigator", "performance",
  "requestAnimationFrame", "setInterval", "setTimeout",
];

const testGlobals = ["Headers", "ReadableStream", "Response", "URL", "URLSearchParams", "clearTimeout", "document", "globalThis", "queueMicrotask", "setTimeout", "structuredClone"];

export default [
  { ignores: ["**/node_modules/**", "**/vendor/**", ".venv/**", "build/**", "dist/**", "test-results/**"] },
  {
    files: [`${ROOT}/**/*.js`],
    plugins: { house: { rules: { layers, "chart-library": chartLibrary } } },
    languageOptions: {
      ecmaVersion: 2025,
      sourceType: "module",
      globals: Object.fromEntries(browserGlobals.map((name) => [name, "readonly"])),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "house/layers": "error",
      "house/chart-library": "error",
      "no-restricted-properties": ["error", ...HTML_SINKS.map((property) => ({ property, message: "Markup is never made from text: use element()." })),
        { object: "document", property: "write", message: "Use element()." }],
      "no-restricted-globals": ["error", { name: "event", message: "Take it as an argument." }],
      "no-undef": "error",
      "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_", caughtErrors: "none" }],
      "no-var": "error", "prefer-const": "error", eqeqeq: "error", curly: ["error", "multi-line"],
      "no-eval": "error", "no-implied-eval": "error", "no-new-func": "error", "no-console": "error", "no-alert": "error",
      "no-shadow": "error", "no-fallthrough": "error", "no-self-compare": "error", "no-unreachable-loop": "error",
      "no-unmodified-loop-condition": "error", "no-promise-executor-return": "error", "no-constructor-return": "error",
      "array-callback-return": "error", "no-duplicate-imports": "error", "no-dupe-keys": "error", "no-dupe-class-members": "error",
      "no-irregular-whitespace": "error", "no-unsafe-finally": "error", "use-isnan": "error", "valid-typeof": "error",
      "prefer-template": "error", "object-shorthand": "error", "one-var": ["error", "never"],
      "max-lines": ["error", { max: 400 }], "max-lines-per-function": ["error", { max: 70, IIFEs: true }],
      complexity: ["error", 18], "max-params": ["error", 5],
    },
  },
  {
    files: [`${ROOT}/earlyTheme.js`],
    languageOptions: { sourceType: "script" },
  },
  {
    files: ["tests/frontend/**/*.js", "eslint.config.js"],
    languageOptions: { ecmaVersion: 2025, sourceType: "module", globals: Object.fromEntries(testGlobals.map((name) => [name, "readonly"])) },
    rules: { "no-undef": "error", "no-unused-vars": "error", "prefer-const": "error", eqeqeq: "error" },
  },
];
