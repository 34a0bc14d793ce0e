/** The login of this page: one session, and the functions by which everything else uses it. */

import { AuthSession } from "./authSession.js";
import { BrowserTabs } from "./tabs.js";

/**
 * @import {LoginForm, RegisterForm} from "./authSession.js"
 * @import {TokenAnswer, UserItem} from "./protocol.js"
 */

const DEADLINE_MS = 15_000;

/** Dispatched on `document` when somebody came, went or changed; `detail.user` is who is there, or null. */
export const AUTH_CHANGE = "authChange";

/** Dispatched on `document` where the server shows this page to nobody who is not logged in. */
export const LOGIN_WANTED = "loginWanted";

export const authSession = new AuthSession({
  fetch: (path, init) => fetch(path, { signal: AbortSignal.timeout(DEADLINE_MS), credentials: "same-origin", ...init }),
  now: () => Date.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
  tabs: new BrowserTabs(),
});

let told = "";
authSession.watch((user) => {
  const now = JSON.stringify([authSession.restored, user]);
  if (now === told) return;
  told = now;
  document.dispatchEvent(new CustomEvent(AUTH_CHANGE, { detail: { user } }));
});

/** Takes what a login answered. @param {TokenAnswer} answer */
export function storeToken(answer) {
  authSession.store(answer);
}

/** @returns {string | null} the access token as it is, which may have ended */
export function getToken() {
  return authSession.token;
}

/** Forgets the access token in every tab; the server is not told. */
export function clearToken() {
  authSession.clear();
}

/** `fetch` for this server with the token, renewed where it has ended. @param {string} path @param {RequestInit} [init] */
export function apiFetch(path, init) {
  return authSession.fetch(path, init);
}

/** @param {LoginForm} form @returns {Promise<UserItem>} */
export function loginUser(form) {
  return authSession.login(form);
}

/** @param {RegisterForm} form @returns {Promise<UserItem>} who is not logged in yet */
export function registerUser(form) {
  return authSession.register(form);
}

/** Ends the session, in every tab. */
export function logoutUser() {
  return authSession.logout();
}

/** @returns {Promise<string | null>} the next access token; null where the session has ended */
export function refreshToken() {
  return authSession.renew();
}
