/** The administrator's page: who has an account, who is invited, and what was done. */

import { administration } from "../modules/data/accountService.js";
import { asApiError } from "../modules/net/errors.js";
import { formatBarTime, localZone } from "../modules/state/format.js";
import { PagedList } from "../modules/state/pagedList.js";
import { readPreferences } from "../modules/state/preferences.js";
import { confirmed, withStepUp } from "../modules/ui/dialogs.js";
import { element, find, icon, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";
import { FieldForm } from "../modules/ui/fieldForm.js";
import { requireUser } from "../modules/ui/loginGate.js";
import { tellOnce } from "../modules/ui/tellOnce.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";

/** @import {AuditEvent, InviteItem, UserItem} from "../modules/net/protocol.js" */

const ROLES = ["viewer", "trader", "admin"];

class UsersPage {
  #theme = new ThemeToggle(() => undefined);
  #main = find("#main", HTMLElement);
  /** @type {PagedList<UserItem>} */
  #users = new PagedList((cursor) => administration.users(cursor));
  /** @type {PagedList<InviteItem>} */
  #invitations = new PagedList((cursor) => administration.invites(cursor));
  /** @type {PagedList<AuditEvent>} */
  #events = new PagedList((cursor) => administration.audit({ cursor }));
  #me = "";
  #invited = element("div");
  #invites = element("div");
  #mode = element("div");
  /** @type {FieldForm | null} */
  #form = null;

  async start() {
    const user = await requireUser();
    if (user.role !== "admin") {
      for (const section of document.querySelectorAll(".people-sections")) section.remove();
      replace(find("#forbidden", HTMLElement), element("p", { class: "empty" }, "This page is for administrators of the server."));
      return;
    }
    this.#me = user.id;
    this.#form = new FieldForm({
      label: "Invite somebody",
      fields: [{ name: "role", label: "Invite somebody as", type: "select", value: "trader", options: ROLES.map((role) => [role, role]) }],
      submit: "Invite",
      onSubmit: async ({ role = "trader" }) => this.#invite(role),
    });
    replace(find("#invites-body", HTMLElement), this.#mode, this.#invites, this.#invited, this.#form.node);
    // The log names users, so they come first.
    await Promise.all([this.#loadUsers(), this.#loadInvites(), this.#sayMode()]);
    await this.#loadAudit();
    this.#main.dataset.shown = user.username;
  }

  destroy() {
    this.#theme.destroy();
    this.#form?.destroy();
  }

  /** @param {boolean} [further] */
  #loadUsers(further) {
    const show = () => {
      this.#showUsers();
      this.#nameEvents();
    };
    return loaded(find("#users-body", HTMLElement), this.#users, show, further);
  }

  #showUsers() {
    find("#users-note", HTMLElement).textContent = this.#users.count;
    replace(
      find("#users-body", HTMLElement),
      table("Users", ["User", "E-mail address|wide", "Role", "Last login|wide", ""], this.#users.items.map((user) => this.#userRow(user))),
      this.#users.hasMore && more("users", () => this.#loadUsers(true)),
      element("div", { id: "users-said" }),
    );
  }

  /** @param {UserItem} user */
  #userRow(user) {
    const own = user.id === this.#me;
    const select = element(
      "select",
      { class: "select", "aria-label": `Role of ${user.username}`, disabled: own, onchange: () => this.#change(user, { role: select.value }) },
      ...ROLES.map((role) => element("option", { value: role, selected: role === user.role }, role)),
    );
    const word = user.disabled ? "Let in" : "Shut out";
    const toggle = element("button", { type: "button", class: "button", "aria-label": `${word}: ${user.username}`, onclick: () => this.#toggle(user) }, word);
    return element(
      "tr",
      {},
      element("th", { scope: "row", class: "long" }, user.username, " ", own && element("span", { class: "tag tag-ok" }, "You"), user.disabled && element("span", { class: "tag tag-bad" }, "Shut out"), user.totp_enabled && element("span", { class: "tag" }, "2FA")),
      element("td", { class: "wide" }, user.email),
      element("td", {}, select),
      element("td", { class: "wide" }, time(user.last_login_ms)),
      element("td", { class: "actions" }, own ? null : toggle),
    );
  }

  /** @param {UserItem} user */
  async #toggle(user) {
    const words = "Every session of theirs ends, and no API token of theirs is taken until they are let in again.";
    if (!user.disabled && !(await confirmed({ title: `Shut ${user.username} out?`, words, action: "Shut out" }))) return;
    await this.#change(user, { disabled: !user.disabled });
  }

  /** @param {UserItem} user @param {{role?: string, disabled?: boolean}} changes */
  async #change(user, changes) {
    /** @type {Node | null} */
    let problem = null;
    try {
      const changed = await withStepUp(() => administration.changeUser(user.id, changes));
      this.#users.items = this.#users.items.map((one) => (one.id === changed.id ? changed : one));
      this.#loadAudit();
    } catch (error) {
      const told = asApiError(error);
      if (told.code !== "aborted") problem = failure(told);
    }
    this.#showUsers();
    if (problem) replace(find("#users-said", HTMLElement), problem);
  }

  /** An invitation that can't be used would be a trap. */
  async #sayMode() {
    const { mode } = await administration.registration().catch(() => ({ mode: "open" }));
    if (mode !== "closed") return;
    const words = "Registration is closed, so that nobody can use an invitation: set TRADEWRIGHT_REGISTRATION to invite (or open) and start the server anew, or add users by “tradewright user create”.";
    replace(this.#mode, element("div", { class: "warning" }, icon("warning"), element("div", {}, words)));
  }

  /** @param {boolean} [further] */
  #loadInvites(further) {
    return loaded(this.#invites, this.#invitations, () => this.#showInvites(), further);
  }

  #showInvites() {
    const { items, count, hasMore } = this.#invitations;
    find("#invites-note", HTMLElement).textContent = items.length === 0 ? "" : count;
    const rows = items.map((invite) => this.#inviteRow(invite));
    const shown = rows.length === 0 ? element("p", { class: "empty" }, "Nobody is invited.") : table("Invitations", ["Begins", "Role", "State", "Ends|wide", ""], rows);
    replace(this.#invites, shown, hasMore && more("invitations", () => this.#loadInvites(true)));
  }

  /** @param {InviteItem} invite */
  #inviteRow(invite) {
    const ended = invite.expires_ms <= Date.now();
    const state = invite.used_by !== null ? ["tag-ok", "Used"] : ended ? ["", "Ended"] : ["tag-warn", "Open"];
    const drop = element("button", { type: "button", class: "button", "aria-label": `Delete the invitation ${invite.hint}`, onclick: () => this.#deleteInvite(invite.id) }, "Delete");
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("span", { class: "code" }, `${invite.hint}…`)),
      element("td", {}, invite.role),
      element("td", {}, element("span", { class: `tag ${state[0]}` }, state[1])),
      element("td", { class: "wide" }, time(invite.expires_ms)),
      element("td", { class: "actions" }, drop),
    );
  }

  /** @param {string} role */
  async #invite(role) {
    const { code = "" } = await withStepUp(() => administration.invite(role));
    const link = `${location.origin}/register#invite=${encodeURIComponent(code)}`;
    const told = tellOnce("The invitation", "Send this link to the one whom you invite. It is good once, for seven days, and not shown again.", [link], () => this.#invited.replaceChildren());
    replace(this.#invited, told);
    told.focus();
    await Promise.all([this.#loadInvites(), this.#loadAudit()]);
  }

  /** @param {string} id */
  async #deleteInvite(id) {
    try {
      await withStepUp(() => administration.deleteInvite(id));
      await this.#loadInvites();
    } catch (error) {
      const told = asApiError(error);
      if (told.code !== "aborted") this.#invites.append(failure(told));
    }
  }

  /** @param {boolean} [further] */
  #loadAudit(further) {
    return loaded(find("#audit-body", HTMLElement), this.#events, () => this.#showAudit(), further);
  }

  #showAudit() {
    const rows = this.#events.items.map((event) => this.#eventRow(event));
    replace(
      find("#audit-body", HTMLElement),
      table("Audit log", ["Time", "What", "Whom", "Address|wide", "Details|wide"], rows),
      this.#events.hasMore && more("events", () => this.#loadAudit(true)),
    );
  }

  /** @param {AuditEvent} event */
  #eventRow({ time_ms: at, kind, user_id: whom, actor_id: by, address, details, request_id: request }) {
    const name = (/** @type {string | null} */ id) => (id === null ? "–" : element("span", { "data-user": id }, this.#nameOf(id)));
    const told = Object.entries(details).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
    return element(
      "tr",
      { title: `Request ${request}` },
      element("td", {}, time(at)),
      element("th", { scope: "row" }, element("span", { class: "code" }, kind)),
      element("td", {}, name(whom), by !== null && by !== whom && element("span", { class: "muted" }, " by ", name(by))),
      element("td", { class: "wide" }, address || "–"),
      element("td", { class: "wide long muted" }, told.join(", ")),
    );
  }

  /** @param {string} id */
  #nameOf(id) {
    return this.#users.items.find((user) => user.id === id)?.username ?? id.slice(0, 8);
  }

  /** Put the names that are known by now into the rows that stand there, which may have the focus. */
  #nameEvents() {
    for (const named of find("#audit-body", HTMLElement).querySelectorAll("[data-user]")) {
      named.textContent = this.#nameOf(named.getAttribute("data-user") ?? "");
    }
  }
}

/** @param {string} label @param {string[]} names "Name" or "Name|class" @param {HTMLElement[]} rows */
function table(label, names, rows) {
  const head = names.map((one) => {
    const [name = "", kind = ""] = one.split("|");
    return element("th", { scope: "col", class: kind }, name || element("span", { class: "visually-hidden" }, "Actions"));
  });
  return element("div", { class: "scroll" }, element("table", { class: "table", "aria-label": label }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}

/** Load a list, or its next page, and show it. Whoever asked for more by keyboard goes on with the first new row, unless
 * they have gone elsewhere meanwhile. What fails is told below what is there already.
 * @param {HTMLElement} place @param {PagedList<any>} list @param {() => void} show @param {boolean} [further] */
async function loaded(place, list, show, further = false) {
  const before = list.items.length;
  try {
    if (!(await list.load(further))) return;
    const here = place.contains(document.activeElement);
    show();
    const row = place.querySelectorAll("tbody tr")[before];
    if (further && here && row instanceof HTMLElement) {
      row.tabIndex = -1;
      row.focus();
    }
  } catch (error) {
    // The button that asked for more stays, and keeps the focus: it is the way to try again, whatever went wrong.
    const told = failure(asApiError(error), further ? undefined : () => loaded(place, list, show));
    const here = place.contains(document.activeElement);
    if (before === 0) place.replaceChildren();
    for (const old of place.querySelectorAll(":scope > .failure")) old.remove();
    place.append(told);
    if (here && !place.contains(document.activeElement)) told.querySelector("button")?.focus();
  }
}

/** @param {string} what @param {() => void} load */
function more(what, load) {
  return element("div", {}, element("button", { type: "button", class: "button", "aria-label": `Show more ${what}`, onclick: load }, "Show more"));
}

/** @param {number | null} ms */
function time(ms) {
  return ms === null ? "–" : formatBarTime(ms, readPreferences().zone === "utc" ? "UTC" : localZone(), false);
}

const page = new UsersPage();
page.start();
globalThis.addEventListener("pagehide", (left) => left.persisted || page.destroy());
