/** What needs a login: waits until it is known who is here, and sends those away who are nobody. */

import { AUTH_CHANGE, authSession } from "../net/auth.js";
import { withReturn } from "../net/returnPath.js";

/** @import {UserItem} from "../net/protocol.js" */

/**
 * The user. Where there is none, or as soon as they log out, in whatever tab, the login page takes over.
 *
 * @returns {Promise<UserItem>} never settles without one
 */
export async function requireUser() {
  await authSession.restore();
  const { user } = authSession;
  document.addEventListener(AUTH_CHANGE, () => authSession.user === null && leaveForLogin());
  if (user !== null) return user;
  leaveForLogin();
  return new Promise(() => {});
}

function leaveForLogin() {
  location.replace(withReturn("/login", location.pathname + location.search + location.hash));
}
