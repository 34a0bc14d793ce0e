/** The profile: one's account, what keeps it safe, and how the pages look. */

import { account } from "../modules/data/accountService.js";
import { DataService } from "../modules/data/dataService.js";
import { clearToken, refreshToken } from "../modules/net/auth.js";
import { ApiError, asApiError } from "../modules/net/errors.js";
import { formatBarTime, localZone } from "../modules/state/format.js";
import { readPreferences, readTheme, savePreferences, saveTheme, showTheme } from "../modules/state/preferences.js";
import { withStepUp } from "../modules/ui/dialogs.js";
import { element, find, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";
import { FieldForm } from "../modules/ui/fieldForm.js";
import { requireUser } from "../modules/ui/loginGate.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";
import { PasswordSection, SessionsSection, TotpSection, warning } from "./profileSecurity.js";
import { TokensSection } from "./profileTokens.js";

/**
 * @import {Me, ProviderItem} from "../modules/net/protocol.js"
 * @import {ThemeChoice} from "../modules/state/preferences.js"
 */

const ROLES = /** @type {Record<string, string>} */ ({
  admin: "Administrator: trades own accounts and manages users",
  trader: "Trader: trades own accounts",
  viewer: "Viewer: reads, and trades nothing",
});

class ProfilePage {
  #service = new DataService(location.origin);
  #theme = new ThemeToggle(() => undefined);
  #main = find("#main", HTMLElement);
  #sessions = new SessionsSection(() => zoneName());
  #totp = new TotpSection(() => this.#reload());
  /** @type {FieldForm | null} */
  #account = null;
  /** @type {{destroy: () => void}[]} */
  #parts = [];

  async start() {
    const user = await requireUser();
    const tokens = new TokensSection(user, () => zoneName());
    this.#parts.push(new PasswordSection(() => this.#sessions.load()), tokens);
    this.#showDelete(user.username);
    await Promise.all([this.#reload(), this.#sessions.load(), tokens.load(), this.#showPreferences()]);
    this.#main.dataset.shown = user.username;
    // The sections have grown since the browser went to the one that the address names.
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  }

  destroy() {
    this.#account?.destroy();
    for (const part of [...this.#parts, this.#theme, this.#service]) part.destroy();
  }

  async #reload() {
    try {
      const me = await account.me();
      this.#showAccount(me);
      this.#totp.show(me);
    } catch (error) {
      replace(find("#account-body", HTMLElement), failure(asApiError(error), () => this.#reload()));
    }
  }

  /** @param {Me} me */
  #showAccount({ user }) {
    const facts = /** @type {[string, string][]} */ ([
      ["Role", ROLES[user.role] ?? user.role],
      ["Member since", formatBarTime(user.created_ms, zoneName(), true)],
      ["Last login", user.last_login_ms === null ? "–" : formatBarTime(user.last_login_ms, zoneName(), false)],
    ]);
    const rows = facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
    const form = new FieldForm({
      label: "Account",
      fields: [
        { name: "username", label: "User name", value: user.username, autocomplete: "username", maxlength: 32 },
        { name: "email", label: "E-mail address", type: "email", value: user.email, autocomplete: "email", maxlength: 254 },
      ],
      submit: "Save",
      onSubmit: async ({ username = "", email = "" }) => {
        const wanted = { username: username.trim(), email: email.trim() };
        const changes = { ...(wanted.username !== user.username && { username: wanted.username }), ...(wanted.email !== user.email && { email: wanted.email }) };
        if (Object.keys(changes).length === 0) return "That is what it was.";
        await withStepUp(() => account.changeProfile(changes));
        // Who is logged in is told with each token, and that has just changed.
        await refreshToken().catch(() => undefined);
        await this.#reload();
        return "Saved.";
      },
    });
    this.#account?.destroy();
    this.#account = form;
    replace(find("#account-body", HTMLElement), element("dl", { class: "facts" }, ...rows), form.node);
  }

  async #showPreferences() {
    const place = find("#preferences-body", HTMLElement);
    try {
      const markets = await this.#service.markets();
      const names = [...new Set(markets.map(({ market }) => market))];
      const providers = (await Promise.all(names.map((market) => this.#service.providers(market)))).flat();
      const form = this.#preferencesForm(providers);
      this.#parts.push(form);
      replace(place, form.node);
    } catch (error) {
      replace(place, failure(asApiError(error), () => this.#showPreferences()));
    }
  }

  /** @param {readonly ProviderItem[]} providers */
  #preferencesForm(providers) {
    const { zone, home } = readPreferences();
    return new FieldForm({
      label: "Preferences",
      fields: [
        { name: "theme", label: "Theme", type: "select", value: readTheme(), options: [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]] },
        { name: "zone", label: "Time zone", type: "select", value: zone, options: [["browser", `Local (${localZone()})`], ["utc", "UTC"]] },
        {
          name: "home",
          label: "Default market",
          type: "select",
          required: false,
          value: home ? JSON.stringify([home.market, home.provider]) : "",
          options: [["", "The first that there is"], ...providers.map(homeOption)],
          hint: "Where the chart and the data page begin when no link says otherwise.",
        },
      ],
      submit: "Save",
      onSubmit: async (values) => {
        const theme = /** @type {ThemeChoice} */ (values.theme);
        const place = values.home ? JSON.parse(values.home) : null;
        showTheme(theme);
        saveTheme(theme);
        savePreferences({ zone: values.zone === "utc" ? "utc" : "browser", home: place && { market: place[0], provider: place[1] } });
        await Promise.all([this.#reload(), this.#sessions.load()]);
        return "Saved.";
      },
    });
  }

  /** @param {string} username */
  #showDelete(username) {
    const form = new FieldForm({
      label: "Delete the account",
      danger: true,
      before: [warning("Your account goes, with your sessions, API tokens, preferences and keys. Nobody can bring it back. What was done under it stays in the audit log.")],
      fields: [{ name: "username", label: `Your user name, “${username}”, to confirm`, autocomplete: "off", maxlength: 32 }],
      submit: "Delete my account",
      onSubmit: async (values) => {
        if (values.username !== username) throw new ApiError("invalid_value", "", { reasons: { username: "is not your user name" } });
        await withStepUp(() => account.remove());
        clearToken();
        location.replace("/");
      },
    });
    this.#parts.push(form);
    replace(find("#delete-body", HTMLElement), form.node);
  }
}

/** @param {ProviderItem} item @returns {[string, string]} */
function homeOption({ market, provider, name }) {
  return [JSON.stringify([market, provider]), `${name} · ${market}`];
}

function zoneName() {
  return readPreferences().zone === "utc" ? "UTC" : localZone();
}

const page = new ProfilePage();
page.start();
globalThis.addEventListener("pagehide", (left) => left.persisted || page.destroy());
