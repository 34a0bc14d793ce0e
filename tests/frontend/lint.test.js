import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGES = "src/tradewright/web/static/assets/js";

test("the rules of the house catch what they forbid", async () => {
  const { ESLint } = await import("eslint");
  const eslint = new ESLint({ cwd: ROOT });
  const lint = async (file, text) => {
    const [result] = await eslint.lintText(text, { filePath: `${ROOT}${PAGES}/${file}` });
    return result.messages.map(({ ruleId }) => ruleId);
  };
  const forbidden = [
    ["modules/net/http.js", 'import "../ui/element.js";', "house/layers"],
    ["modules/net/http.js", 'import "../state/store.js";', "house/layers"],
    ["modules/state/store.js", 'import "../data/dataService.js";', "house/layers"],
    ["modules/data/dataService.js", 'import "../chart/theme.js";', "house/layers"],
    ["modules/ui/legend.js", 'import "../chart/theme.js";', "house/layers"],
    ["modules/chart/theme.js", 'import "../ui/element.js";', "house/layers"],
    ["modules/ui/legend.js", 'import "../../pages/chart.js";', "house/layers"],
    ["modules/ui/legend.js", 'import "klinecharts";', "house/layers"],
    ["modules/chart/priceChart.js", "globalThis.klinecharts.init();", "house/chart-library"],
    ["modules/ui/legend.js", "document.body.innerHTML = '';", "no-restricted-properties"],
    ["modules/ui/legend.js", "document.body.insertAdjacentHTML('beforeend', '');", "no-restricted-properties"],
    ["pages/chart.js", "eval('1');", "no-eval"],
  ];
  for (const [file, text, rule] of forbidden) assert.deepEqual(await lint(file, text), [rule], `${file}: ${text}`);
  const allowed = [
    ["pages/chart.js", 'import "../modules/ui/element.js";\nimport "../modules/net/http.js";'],
    ["modules/ui/legend.js", 'import "../state/format.js";\nimport "./element.js";'],
    ["modules/data/dataService.js", 'import "../net/http.js";\nimport "../state/store.js";'],
  ];
  for (const [file, text] of allowed) assert.deepEqual(await lint(file, text), [], `${file}: ${text}`);
});
