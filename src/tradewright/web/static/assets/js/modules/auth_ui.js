/** The corner of every page that says who is logged in, and lets them in and out. */

import { account } from "./data/accountService.js";
import { PreferenceSync } from "./data/preferenceSync.js";
import { AUTH_CHANGE, authSession, LOGIN_WANTED, logoutUser } from "./net/auth.js";
import { asApiError } from "./net/errors.js";
import { withReturn } from "./net/returnPath.js";
import { element, find, icon, replace } from "./ui/element.js";
import { Popover } from "./ui/popover.js";

/** @import {UserItem} from "./net/protocol.js" */

class AuthMenu {
  #place = find("#user-menu", HTMLElement);
  /** @type {Popover | null} */
  #menu = null;
  /** @type {string | null} */
  #shownId = null;
  /** @type {PreferenceSync | null} */
  #sync = null;
  #said = element("p", { class: "hint", role: "status" });

  start() {
    document.addEventListener(AUTH_CHANGE, () => this.#show());
    document.addEventListener(LOGIN_WANTED, () => location.replace(withReturn("/login", location.pathname + location.search)));
    this.#show();
    authSession.restore();
    globalThis.addEventListener("pagehide", () => this.#sync?.flush());
    // Back from the browser's cache of pages: who was here may be gone.
    globalThis.addEventListener("pageshow", ({ persisted }) => persisted && authSession.user && authSession.renew().catch(() => undefined));
  }

  #show() {
    const { user } = authSession;
    // Somebody else has logged in in another tab: nothing of the one before may stay in view.
    if (user && this.#shownId !== null && user.id !== this.#shownId) location.reload();
    this.#shownId = user?.id ?? this.#shownId;
    document.documentElement.dataset.login = user ? "in" : authSession.restored ? "out" : "unknown";
    this.#follow(user);
    this.#menu?.destroy();
    this.#menu = null;
    if (user) this.#showUser(user);
    else if (authSession.restored || !authSession.hinted) this.#showLogin();
  }

  /** Keeps the choices of whoever is here at the server. @param {UserItem | null} user */
  #follow(user) {
    if (user === null) {
      this.#sync?.stop();
      this.#sync = null;
    }
    if (user === null || this.#sync) return;
    this.#sync = new PreferenceSync({
      read: () => account.preferences(),
      write: (changes) => account.savePreferences(changes),
      after: (ms, work) => {
        const timer = setTimeout(work, ms);
        return () => clearTimeout(timer);
      },
    });
    // Without an answer this browser's own choices hold.
    this.#sync.pull().catch(() => undefined);
  }

  #showLogin() {
    const here = location.pathname + location.search;
    replace(this.#place, element("a", { class: "button", href: withReturn("/login", here) }, "Log in"));
  }

  /** @param {UserItem} user */
  #showUser(user) {
    this.#menu = new Popover({
      label: `Account of ${user.username}`,
      className: "user-button",
      face: [icon("user"), element("span", { class: "user-name" }, user.username)],
      panel: () => [
        element("p", { class: "menu-title" }, element("strong", {}, user.username), element("span", { class: "tag" }, user.role)),
        element(
          "div",
          { class: "menu" },
          link("/profile", "Profile and security"),
          link("/credentials", "Credentials"),
          user.role === "admin" && link("/users", "Users and audit"),
          element("button", { type: "button", class: "menu-item", onclick: () => this.#logout() }, "Log out"),
        ),
        this.#said,
      ],
    });
    replace(this.#place, this.#menu.node);
  }

  async #logout() {
    try {
      await logoutUser();
    } catch (error) {
      const { message } = asApiError(error);
      replace(this.#place, element("span", { class: "hint", role: "alert" }, `Logged out here. ${message} The server is told when a page is next opened.`));
    }
  }
}

/** @param {string} href @param {string} words */
function link(href, words) {
  return element("a", { class: "menu-item", href, "aria-current": location.pathname === href ? "true" : null }, words);
}

new AuthMenu().start();
