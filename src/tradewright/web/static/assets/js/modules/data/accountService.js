/** What the pages about people ask of the server. */

import { getJson, sendJson } from "../net/http.js";

/**
 * @import {Page} from "../net/answers.js"
 * @import {CheckAnswer, CredentialItem} from "../net/protocol.js"
 * @import {AuditEvent, EnrolAnswer, InviteItem, Me, RecoveryCodes, RegistrationState, SessionItem, TokenItem, UserItem} from "../net/protocol.js"
 */

const API = "/api/v1";
const AUTH = `${API}/auth`;

/** @param {string} base @param {string} id */
const at = (base, id) => `${base}/${encodeURIComponent(id)}`;

export const account = {
  /** @returns {Promise<Me>} */
  me: () => getJson(`${AUTH}/me`),
  /** @returns {Promise<void>} */
  remove: () => sendJson("DELETE", `${AUTH}/me`),
  /** @param {{username?: string, email?: string}} body @returns {Promise<UserItem>} */
  changeProfile: (body) => sendJson("PATCH", `${API}/user/profile`, { body }),
  /** @returns {Promise<Record<string, unknown>>} what was chosen, by the server's names */
  preferences: () => getJson(`${API}/user/preferences`),
  /** @param {Record<string, unknown>} body @returns {Promise<Record<string, unknown>>} */
  savePreferences: (body) => sendJson("PATCH", `${API}/user/preferences`, { body, keepalive: true }),
  /** @param {string} present @param {string} wanted @returns {Promise<void>} */
  changePassword: (present, wanted) => sendJson("POST", `${AUTH}/password`, { body: { current_password: present, new_password: wanted } }),
  /** @returns {Promise<Page<SessionItem>>} */
  sessions: () => getJson(`${AUTH}/sessions`),
  /** @param {string} id @returns {Promise<void>} */
  endSession: (id) => sendJson("DELETE", at(`${AUTH}/sessions`, id)),
  /** @returns {Promise<void>} every session, this one included */
  endAll: () => sendJson("POST", `${AUTH}/logout_all`),
  /** @returns {Promise<EnrolAnswer>} */
  enrolTotp: () => sendJson("POST", `${AUTH}/totp/enroll`),
  /** @param {string} totp @returns {Promise<RecoveryCodes>} */
  confirmTotp: (totp) => sendJson("POST", `${AUTH}/totp/confirm`, { body: { totp } }),
  /** @returns {Promise<void>} */
  disableTotp: () => sendJson("POST", `${AUTH}/totp/disable`),
  /** @returns {Promise<Page<TokenItem>>} */
  tokens: () => getJson(`${AUTH}/tokens`),
  /** @param {{label: string, scopes: string[], days: number}} body @returns {Promise<TokenItem>} which tells the token, this once */
  makeToken: (body) => sendJson("POST", `${AUTH}/tokens`, { body }),
  /** @param {string} id @returns {Promise<void>} */
  deleteToken: (id) => sendJson("DELETE", at(`${AUTH}/tokens`, id)),
};

export const credentials = {
  /** @returns {Promise<Page<CredentialItem>>} */
  list: () => getJson(`${API}/credentials`),
  /** @param {string} id @returns {Promise<CredentialItem>} */
  get: (id) => getJson(at(`${API}/credentials`, id)),
  /** @param {{market: string, provider: string, label: string, testnet: boolean, fields: Record<string, string>}} body @returns {Promise<CredentialItem>} */
  add: (body) => sendJson("POST", `${API}/credentials`, { body }),
  /** @param {string} id @param {{label?: string, fields?: Record<string, string>, withdrawal_accepted?: boolean}} body @returns {Promise<CredentialItem>} */
  change: (id, body) => sendJson("PATCH", at(`${API}/credentials`, id), { body }),
  /** @param {string} id @returns {Promise<void>} */
  remove: (id) => sendJson("DELETE", at(`${API}/credentials`, id)),
  /** @param {string} id @returns {Promise<CheckAnswer>} what the venue says of it; the venue may take its time */
  test: (id) => sendJson("POST", `${at(`${API}/credentials`, id)}/test`, { deadlineMs: 40_000 }),
};

export const administration = {
  /** @returns {Promise<RegistrationState>} whom the server lets in */
  registration: () => getJson(`${AUTH}/registration`),
  /** @param {string | null} cursor @returns {Promise<Page<UserItem>>} */
  users: (cursor) => getJson(`${API}/users`, { query: { cursor } }),
  /** @param {string} id @param {{role?: string, disabled?: boolean}} body @returns {Promise<UserItem>} */
  changeUser: (id, body) => sendJson("PATCH", at(`${API}/users`, id), { body }),
  /** @param {string | null} cursor @returns {Promise<Page<InviteItem>>} */
  invites: (cursor) => getJson(`${AUTH}/invites`, { query: { cursor } }),
  /** @param {string} role @returns {Promise<InviteItem>} which tells the code, this once */
  invite: (role) => sendJson("POST", `${AUTH}/invites`, { body: { role } }),
  /** @param {string} id @returns {Promise<void>} */
  deleteInvite: (id) => sendJson("DELETE", at(`${AUTH}/invites`, id)),
  /** @param {{cursor: string | null, user_id?: string | null}} query @returns {Promise<Page<AuditEvent>>} */
  audit: (query) => getJson(`${API}/audit`, { query }),
};
