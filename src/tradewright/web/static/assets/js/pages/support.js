/** The support page: how the server and this browser are, and a report of it to pass on. */

import { DataService } from "../modules/data/dataService.js";
import { AUTH_CHANGE, authSession } from "../modules/net/auth.js";
import { localZone } from "../modules/state/format.js";
import { readPreferences, readTheme } from "../modules/state/preferences.js";
import { element, find, replace } from "../modules/ui/element.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";
import { copyText } from "../modules/ui/tellOnce.js";

/** @typedef {[string, string]} Fact */

const EVERY_MS = 10_000;

class SupportPage {
  #service = new DataService(location.origin);
  #theme = new ThemeToggle(() => undefined);
  /** @type {Fact[]} */
  #server = [];
  #timer;

  constructor() {
    find("#copy", HTMLButtonElement).addEventListener("click", () => this.#copy());
    document.addEventListener(AUTH_CHANGE, () => this.#show());
    this.#timer = setInterval(() => this.#ask(), EVERY_MS);
    this.#show();
    this.#ask();
  }

  destroy() {
    clearInterval(this.#timer);
    this.#theme.destroy();
    this.#service.destroy();
  }

  async #ask() {
    const note = find("#server-note", HTMLElement);
    const asked = performance.now();
    let ready = false;
    try {
      const [readiness, health] = await Promise.all([this.#service.readiness(), this.#service.health()]);
      ready = readiness.ready;
      this.#server = [
        ...(health.version === undefined ? [] : [/** @type {Fact} */ (["Version", health.version])]),
        ["Answers in", `${Math.round(performance.now() - asked)} ms`],
        ...readiness.dependencies.map(({ name, ok, detail }) => /** @type {Fact} */ ([name.replaceAll("_", " "), [ok ? "ok" : "failing", detail].filter(Boolean).join(": ")])),
      ];
    } catch {
      this.#server = [["State", "does not answer"]];
    }
    const words = ready ? "Ready" : "Not ready";
    replace(note, element("span", { class: "status", "data-state": ready ? "live" : "down" }, element("span", { class: "dot" }), words));
    this.#show();
    find("#main", HTMLElement).dataset.shown = words;
  }

  #show() {
    const browser = browserFacts();
    if (this.#server.length > 0) replace(find("#server", HTMLElement), list(this.#server));
    replace(find("#browser", HTMLElement), list(browser));
    const lines = [["Time", new Date().toISOString()], ...this.#server.map(([name, value]) => [`Server, ${name.toLowerCase()}`, value]), ...browser];
    find("#report", HTMLElement).textContent = lines.map(([name, value]) => `${name}: ${value}`).join("\n");
  }

  async #copy() {
    const copied = await copyText(find("#report", HTMLElement).textContent ?? "");
    find("#copied", HTMLElement).textContent = copied ? "Copied." : "Select the text and copy it.";
  }
}

/** @returns {Fact[]} */
function browserFacts() {
  const { zone } = readPreferences();
  return [
    ["Browser", navigator.userAgent],
    ["Window", `${globalThis.innerWidth} × ${globalThis.innerHeight} at ${globalThis.devicePixelRatio}`],
    ["Languages", navigator.languages.join(", ")],
    ["Time zone", `${localZone()}, shown as ${zone === "utc" ? "UTC" : "local"}`],
    ["Theme", readTheme()],
    ["Online", navigator.onLine ? "yes, says the browser" : "no, says the browser"],
    ["Connection", globalThis.isSecureContext ? "secure, or this computer" : "not encrypted"],
    ["Logged in", authSession.user ? `yes, as ${authSession.user.role}` : "no"],
  ];
}

/** @param {readonly Fact[]} facts */
function list(facts) {
  return element("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

const page = new SupportPage();
globalThis.addEventListener("pagehide", (left) => left.persisted || page.destroy());
